"""Options that several commands share: who we say we are."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.bencode import encode
from anabranch.cli.main import commands
from anabranch.cli.options import IDENTITIES, Wishes
from anabranch.cli.session import config_of
from anabranch.engine import Config
from anabranch.metainfo import Magnet
from anabranch.model import InfoHash
from anabranch.net import IDENTITIES as PROFILES
from programs import run, running
from small_servers import HttpServer, http_reply

HASH = "159ecfca2671791d88186a7f89e6cb1aa64fb29b"
REPLY = http_reply(encode({"interval": 1800, "peers": b"", "files": {bytes.fromhex(HASH): {"complete": 1}}}))


def test_every_profile_that_has_a_name_can_be_chosen() -> None:
    """The names are spelt twice: the command line starts without what the engine needs."""
    assert list(PROFILES) == list(IDENTITIES)


@pytest.mark.parametrize("name", [None, "anonymous"])
def test_announce_and_scrape_say_who_they_are_told_to_be(tmp_path: Path, name: str | None) -> None:
    """W36: Deluge unless somebody says otherwise."""
    us, chosen = PROFILES[name or "deluge"], () if name is None else ("--identity", name)
    with HttpServer(lambda _: REPLY) as tracker:
        for command in ("announce", "scrape"):
            done = run(tmp_path, command, f"{tracker.url}/announce", HASH, *chosen)
            assert (done.returncode, done.stderr) == (0, "")
    assert len(tracker.heads) == 2
    for head in tracker.heads:
        assert f"\r\nUser-Agent: {us.user_agent}\r\n" in head
    assert f"peer_id={us.peer_id_prefix.decode()}" in tracker.targets[0]


def test_download_says_who_it_is_told_to_be(tmp_path: Path) -> None:
    """W36: --identity goes to where announces come from."""
    with HttpServer(lambda _: REPLY) as tracker:
        link = str(Magnet(v1=InfoHash.parse(HASH), trackers=(f"{tracker.url}/announce",)))
        with running(
            tmp_path,
            "download",
            link,
            "-d",
            "got",
            "--bind",
            "127.0.0.2",
            "--port",
            "0",
            "--json",
            "--identity",
            "anabranch",
        ) as program:
            program.told("tracker")
    assert "\r\nUser-Agent: anabranch/" in tracker.heads[0]
    assert "peer_id=-AB" in tracker.targets[0]


def test_an_identity_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    """With those that are."""
    done = run(tmp_path, "announce", "http://127.0.0.1:9/announce", HASH, "--identity", "azureus")
    assert done.returncode == 2
    assert "'deluge', 'anabranch', 'anonymous'" in done.stderr


def wished(*words: str) -> Config:
    """What `anabranch download x` with these options configures."""
    with commands.commands["download"].make_context("download", ["x", *words]) as context:
        return config_of(Wishes(**context.params))


@pytest.mark.parametrize("part", ["dht", "pex", "lsd", "utp", "tcp", "trackers", "webseeds"])
def test_a_part_that_is_switched_off_is_off(part: str) -> None:
    """That one, and no other."""
    names = {name for name in vars(Config) if name.startswith("disable_")}
    config = wished(f"--no-{part}")
    assert {name for name in names if getattr(config, name)} == {f"disable_{part}"}


def test_how_the_dht_is_entered_and_what_a_link_may_be_told() -> None:
    """Nodes in the order in which they are named; the well-known ones where none is."""
    assert wished().dht_bootstrap is None
    nodes = ("127.0.0.1:7", "[::1]:8", "router.example:9")
    assert wished(*(word for node in nodes for word in ("--dht-bootstrap", node))).dht_bootstrap == nodes
    assert (wished().assume_private, wished("--assume-private").assume_private) == (False, True)
