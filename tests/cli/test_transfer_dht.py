"""download and seed, as real programs that find each other by the DHT alone."""

from __future__ import annotations

import json
from pathlib import Path

from anabranch.cli.asking import known_by
from dht_nodes import dht_nodes
from ours import until
from programs import run, running, seeding, small_torrent
from trees import digest


def test_an_info_hash_is_all_that_is_needed(tmp_path: Path) -> None:
    """The DHT tells of the seeder, who tells the metadata; programs are told where peers come from."""
    torrent, source = small_torrent(tmp_path)
    info_hash = str(known_by(str(torrent))[0])
    with dht_nodes(4, "127.7.5") as nodes:
        entry = ("--dht-bootstrap", nodes.entry)
        with seeding(tmp_path, torrent, source, *entry) as seeder:
            until(lambda: nodes.call(lambda dht: dht.get_peers(bytes.fromhex(info_hash))).peers)  # or it finds us
            here = ("--bind", "127.7.5.99", "--port", "0", "--state", "other")
            done = run(tmp_path, "download", info_hash, "-d", "got", *here, *entry, "--json")
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "got") == digest(source)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    found = [one for one in told if one["event"] == "peers_found"]
    assert {one["source"] for one in found} == {"dht"}
    assert any(one["new"] for one in found)
    host = seeder.rpartition(":")[0]  # it may have dialed us, too, from another port
    assert {one["address"].rpartition(":")[0] for one in told if one["event"] == "peer"} == {host}
    assert max(one["dht_nodes"] for one in told if one["event"] == "progress") > 0


def test_who_wants_no_dht_is_not_found_in_it(tmp_path: Path) -> None:
    """--no-dht: nobody is asked, and nobody is answered."""
    torrent, source = small_torrent(tmp_path)
    with dht_nodes(3, "127.7.6") as nodes:
        entry = ("--dht-bootstrap", nodes.entry, "--no-dht")
        with (
            seeding(tmp_path, torrent, source, *entry) as seeder,
            running(tmp_path, "download", torrent, "-d", "got", "--bind", "127.7.6.99", "--json", *entry) as leecher,
        ):
            assert leecher.told("progress")["dht_nodes"] == 0
            assert run(tmp_path, "dht", "ping", seeder, "--timeout", "1", "--bind", "127.7.6.98").returncode == 1


def test_without_tcp_nobody_is_let_in_and_that_is_said(tmp_path: Path) -> None:
    """--no-tcp: there is nothing to listen by; the DHT needs none of it."""
    torrent, source = small_torrent(tmp_path)
    with dht_nodes(2, "127.7.7") as nodes:
        here = ("--bind", "127.7.7.99", "--port", "0", "--dht-bootstrap", nodes.entry, "--no-tcp")
        with running(tmp_path, "seed", torrent, "-d", source, *here) as program:
            assert program.child.stdout is not None
            assert program.child.stdout.readline() == "seeding folder, and letting nobody in\n"
            until(lambda: nodes.call(lambda dht: dht.get_peers(bytes(20))).asked >= 2)
