"""`anabranch dht get` and `put`, as real programs in a DHT on loopback."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import pytest

from anabranch.dht import target_of
from dht_nodes import Nodes, dht_nodes
from programs import command, environment, run

HOST = "127.7.2.99"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with dht_nodes(6, "127.7.2") as opened:
        yield opened


def asked(place: Path, nodes: Nodes, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return run(place, "dht", *words, "--dht-bootstrap", nodes.entry, "--bind", HOST, "--state", "state")


def test_a_value_is_found_by_its_hash(tmp_path: Path, nodes: Nodes) -> None:
    """Its bytes go to stdout as they are, and nothing else."""
    told = asked(tmp_path, nodes, "put", "grüß dich")
    target = sha1("11:grüß dich".encode()).hexdigest()
    assert (told.returncode, told.stdout) == (0, f"Target  {target}\n")
    assert re.match(r"[1-8] nodes? keeps? it; asked \d+ nodes, ", told.stderr)
    found = asked(tmp_path, nodes, "get", target)
    assert (found.returncode, found.stdout) == (0, "grüß dich")


def test_a_value_need_not_be_a_text(tmp_path: Path, nodes: Nodes) -> None:
    """It may come from stdin; what is no text is printed as it is stored."""
    line = command("dht", "put", "-", "--dht-bootstrap", nodes.entry, "--bind", HOST, "--state", "state")
    surroundings = environment(tmp_path)
    done = subprocess.run(line, cwd=tmp_path, env=surroundings, input=b"\xff\0", capture_output=True, check=True)
    assert done.stdout == f"Target  {sha1(b'2:' + bytes((255, 0))).hexdigest()}\n".encode()
    told = asked(tmp_path, nodes, "put", "d1:ai7ee", "--bencoded", "--json")
    facts = json.loads(told.stdout)
    assert (told.returncode, facts["value"], bytes.fromhex(facts["bencoded"])) == (0, None, b"d1:ai7ee")
    assert facts["stored"] >= 1
    assert asked(tmp_path, nodes, "get", facts["target"]).stdout == "d1:ai7ee"
    facts = json.loads(asked(tmp_path, nodes, "get", facts["target"], "--json").stdout)
    assert (facts["value"], facts["bencoded"], facts["key"], facts["sequence"]) == (None, b"d1:ai7ee".hex(), None, None)


def test_who_has_the_key_changes_the_value(tmp_path: Path, nodes: Nodes) -> None:
    """Each put is the next version; the same value again is only stored anew; salts tell values apart."""
    first = asked(tmp_path, nodes, "put", "one", "--key-file", "my.key", "--new-key")
    assert first.returncode == 0, first.stderr
    key = re.search("^Key     ([0-9a-f]{64})$", first.stdout, re.MULTILINE)
    assert key is not None
    assert first.stdout == f"Target  {target_of(bytes.fromhex(key[1])).hex()}\nKey     {key[1]}\nVersion 1\n"
    assert stat.S_IMODE((tmp_path / "my.key").stat().st_mode) == 0o600
    for value, version in (("two", 2), ("two", 2)):
        told = asked(tmp_path, nodes, "put", value, "--key-file", "my.key")
        assert told.stdout.endswith(f"Version {version}\n")
    asked(tmp_path, nodes, "put", "salted", "--key-file", "my.key", "--salt", "news", "--sequence", "40")
    found = asked(tmp_path, nodes, "get", "--key", key[1])
    assert (found.stdout, found.stderr.startswith("version 2; asked ")) == ("two", True)
    found = asked(tmp_path, nodes, "get", "--key", key[1], "--salt", "news", "--json")
    facts = json.loads(found.stdout)
    assert (facts["value"], facts["sequence"], facts["key"], facts["salt"]) == ("salted", 40, key[1], b"news".hex())


def test_what_the_nodes_refuse_is_told_in_their_words(tmp_path: Path, nodes: Nodes) -> None:
    """An older version, another one than was to be replaced: BEP 44's errors 302 and 301."""
    assert asked(tmp_path, nodes, "put", "x", "--key-file", "a.key", "--new-key", "--sequence", "5").returncode == 0
    for wish in (("--sequence", "4"), ("--sequence", "6", "--cas", "3")):
        told = asked(tmp_path, nodes, "put", "y", "--key-file", "a.key", *wish)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
        assert "no node took it: " in told.stderr
    assert asked(tmp_path, nodes, "put", "y", "--key-file", "a.key", "--sequence", "6", "--cas", "5").returncode == 0


def test_what_is_not_there_is_said(tmp_path: Path, nodes: Nodes) -> None:
    """One line, and how many were asked."""
    told = asked(tmp_path, nodes, "get", "00" * 20)
    assert (told.returncode, told.stdout) == (1, "")
    assert re.fullmatch(rf"anabranch: nothing is stored under {'00' * 20}; asked \d+ nodes, .*\n", told.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("put", "x" * 1000), "at most 1000"),
        (("put", "x1", "--bencoded"), "not a bencoded value"),
        (("put", "x", "--key-file", "none.key"), "none.key: No such file or directory"),
        (("put", "x", "--key-file", "bad.key"), "bad.key: not a private key"),
        (("put", "x", "--key-file", "bad.key", "--new-key"), "bad.key is there already"),
        (("put", "x", "--key-file", "new.key", "--new-key", "--salt", "s" * 65), "64"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anybody_is_asked(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """In one line."""
    (tmp_path / "bad.key").write_text("secret")
    told = run(tmp_path, "dht", *words, "--dht-bootstrap", "127.7.2.250:9", "--bind", HOST, "--state", "state")
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert said in told.stderr
    assert not (tmp_path / "new.key").exists()
