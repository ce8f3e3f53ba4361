"""`anabranch dht ping`, `get-peers`, `announce` and `sample`, as real programs in a DHT on loopback."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from anabranch.cli.dht_peers import pong_facts, pong_lines, public_hashes
from anabranch.dht import Pong
from anabranch.model import Address, InputRefused
from dht_nodes import Nodes, dht_nodes
from programs import run
from trees import make_file

HASH = "159ecfca2671791d88186a7f89e6cb1aa64fb29b"
OTHER = "0123456789abcdef0123456789abcdef01234567"
HOST = "127.7.1.99"
EFFORT = r"asked \d+ nodes, \d+ answered, in \d+\.\d s"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with dht_nodes(6, "127.7.1") as opened:
        yield opened


def asked(place: Path, nodes: Nodes, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return run(place, "dht", *words, "--dht-bootstrap", nodes.entry, "--bind", HOST, "--state", "state")


def test_who_is_announced_is_found(tmp_path: Path, nodes: Nodes) -> None:
    """By the address that the datagrams come from and the port that is said; addresses go to stdout, a line each."""
    told = asked(tmp_path, nodes, "announce", HASH, "--port", "4321", "--seed")
    assert told.returncode == 0, told.stderr
    assert re.fullmatch(rf"{HASH}: port 4321 announced to [1-8] nodes\n", told.stdout)
    assert re.fullmatch(rf"{EFFORT}\n", told.stderr)
    found = asked(tmp_path, nodes, "get-peers", HASH, "--scrape")
    assert (found.returncode, found.stdout) == (0, f"{HOST}:4321\n")
    assert re.fullmatch(rf"{HASH}: 1 peer, of about 1 seed and 0 downloaders; {EFFORT}\n", found.stderr)


def test_programs_are_told_in_json(tmp_path: Path, nodes: Nodes) -> None:
    """And nothing is said besides."""
    told = asked(tmp_path, nodes, "announce", HASH, "--port", "4321", "--seed", "--json")
    facts = json.loads(told.stdout)
    assert (told.stderr, facts["info_hash"], facts["port"], facts["refused"]) == ("", HASH, 4321, [])
    assert facts["stored"] >= 1
    found = asked(tmp_path, nodes, "get-peers", f"magnet:?xt=urn:btih:{HASH}", "--json")
    facts = json.loads(found.stdout)
    assert (found.stderr, facts.pop("info_hash"), facts.pop("peers")) == ("", HASH, [f"{HOST}:4321"])
    assert facts.keys() == {"seeds", "leechers", "asked", "answered", "seconds"}


def test_nobody_is_found_where_nobody_is(tmp_path: Path, nodes: Nodes) -> None:
    """That is no success."""
    found = asked(tmp_path, nodes, "get-peers", OTHER)
    assert (found.returncode, found.stdout) == (1, "")
    assert re.fullmatch(rf"{OTHER}: 0 peers; {EFFORT}\n", found.stderr)


def test_a_node_tells_of_itself(tmp_path: Path, nodes: Nodes) -> None:
    """How long it took, and our address as it sees it."""
    told = run(tmp_path, "dht", "ping", nodes.entry, "--bind", HOST)
    assert told.returncode == 0, told.stderr
    first, *more = told.stdout.splitlines()
    assert re.fullmatch(rf"{nodes.entry}  answered in \d+\.\d ms", first)
    assert re.fullmatch("  Id       [0-9a-f]{40}", more[0])
    assert more[-1] == f"  We are   {HOST}"
    facts = json.loads(run(tmp_path, "dht", "ping", nodes.entry, "--bind", HOST, "--json").stdout)
    assert (facts["address"], facts["external"], facts["secure"], facts["error"]) == (nodes.entry, HOST, True, "")


def test_who_does_not_answer_is_said_to_do_so(tmp_path: Path) -> None:
    """With the reason, where there is one."""
    told = run(tmp_path, "dht", "ping", "127.7.1.250:9", "--bind", HOST)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert told.stderr.startswith("anabranch: ")
    assert told.stderr.count("127.7.1.250:9") == 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.7.1.251", 0))
        address = f"127.7.1.251:{mute.getsockname()[1]}"
        told = run(tmp_path, "dht", "ping", address, "--bind", HOST, "--timeout", "0.3")
    assert told.stderr == f"anabranch: no answer from {address} in 0.3 s\n"
    facts = json.loads(run(tmp_path, "dht", "ping", "127.7.1.250:9", "--bind", HOST, "--json").stdout)
    assert facts["error"]
    assert (facts["id"], facts["seconds"], facts["secure"]) == (None, None, None)


def test_nodes_tell_a_sample_of_what_they_have(tmp_path: Path, nodes: Nodes) -> None:
    """Those near a place each once, or one that is named; BEP 51."""
    asked(tmp_path, nodes, "announce", HASH, "--port", "4321")
    told = asked(tmp_path, nodes, "sample", HASH)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines().count(HASH) == 1
    assert re.search(r"^\d torrents?, told by [1-8] of [1-8] nodes, of which one keeps \d$", told.stderr, re.MULTILINE)
    one = run(tmp_path, "dht", "sample", "--node", nodes.entry, "--bind", HOST, "--json")
    facts = json.loads(one.stdout)
    assert (facts["node"], facts["error"], facts["hashes"]) == (nodes.entry, "", [HASH])


def test_private_torrents_are_not_asked_for(tmp_path: Path) -> None:
    """BEP 27: it is said before anybody is asked."""
    make_file(tmp_path / "data", 1000)
    run(tmp_path, "create", "data", "--private")
    for command in (("get-peers",), ("announce", "--port", "7")):
        told = run(tmp_path, "dht", *command, "data.torrent", "--dht-bootstrap", "127.7.1.250:9", "--bind", HOST)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
        assert "data is private" in told.stderr


def test_of_a_hybrid_both_names_are_asked_for(tmp_path: Path) -> None:
    """Whoever knows it by one of them is found."""
    make_file(tmp_path / "data", 1000)
    run(tmp_path, "create", "data", "--hybrid")
    names = public_hashes(str(tmp_path / "data.torrent"))
    link = run(tmp_path, "magnet", "data.torrent").stdout.strip()
    assert len(set(names)) == 2
    assert public_hashes(link) == names
    assert public_hashes(names[0].hex()) == names[:1]
    with pytest.raises(InputRefused, match="no-such"):
        public_hashes("no-such.torrent")


def test_ids_that_do_not_fit_and_programs_are_told() -> None:
    """BEP 42; two letters and a version, or what else stands there."""
    address = Address("203.0.113.7", 6881)
    lines = "\n".join(pong_lines(Pong(bytes(20), address, 0.0234, b"LT\x02\x11")))
    assert lines.splitlines() == [
        "203.0.113.7:6881  answered in 23.4 ms",
        f"  Id       {'00' * 20}  (does not fit its address: BEP 42)",
        "  Version  LT 0211",
    ]
    facts = pong_facts(address, Pong(bytes(20), address, 0.5, b"\x00x"))
    assert (facts["version"], facts["secure"], facts["external"]) == ("0078", False, None)
