"""The commands of `anabranch dht`: what they are called, and what is bad usage of them."""

from __future__ import annotations

import click
import pytest

from anabranch.cli.dht import dht

HASH = "159ecfca2671791d88186a7f89e6cb1aa64fb29b"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("get", "TARGET or --key"),
        (f"get {HASH} --key {'00' * 32}", "TARGET or --key"),
        ("get 00", "not 40 hex digits"),
        ("get --key 00", "not 64 hex digits"),
        (f"get {HASH} --salt news", "--salt is for"),
        ("put x --salt news", "--salt is for"),
        ("put x --new-key", "--new-key is for"),
        ("put x --sequence 0", "--sequence is for"),
        ("put x --cas 1", "--cas is for"),
        ("put x --key-file k --cas -1", "--cas"),
        ("ping 127.0.0.1", "HOST:PORT"),
        ("ping 127.0.0.1:0", "HOST:PORT"),
        ("ping 127.0.0.1:9 --bind localhost", "--bind"),
        ("ping 127.0.0.1:9 --timeout 0", "--timeout"),
        (f"announce {HASH}", "--port"),
        (f"announce {HASH} --port 0", "--port"),
        ("sample xyz", "not 40 hex digits"),
        ("sample --node router.example", "HOST:PORT"),
        ("sample --node 127.0.0.1:9 --dht-bootstrap 127.0.0.1:8", "--node is asked without"),
        ("ping 127.0.0.1:9 --dht-bootstrap 127.0.0.1:8", "No such option"),
        ("get-peers nonsense", "no info hash"),
        (f"get-peers {HASH} --dht-bootstrap ::1:7", "[ADDRESS]:PORT"),
    ],
)
def test_bad_usage_is_said_before_anybody_is_asked(line: str, said: str) -> None:
    """With what is wrong; click makes exit code 2 of it."""
    with pytest.raises(click.UsageError) as refused:
        dht.main(line.split(), standalone_mode=False)
    assert said in refused.value.format_message()


def test_all_its_commands_explain_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    """And each tells how it gets in, if it does, and how long it may take."""
    assert sorted(dht.commands) == ["announce", "get", "get-peers", "ping", "put", "sample"]
    for name in dht.commands:
        dht.main([name, "--help"], standalone_mode=False)
        told = capsys.readouterr().out
        for option in ("--bind", "--port", "--timeout", "--json"):
            assert option in told
        for option in ("--dht-bootstrap", "--state"):
            assert (option in told) == (name != "ping")
