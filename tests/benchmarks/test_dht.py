"""A DHT node is measured among others that know it, by questions that it has to answer."""

from __future__ import annotations

import socket
from pathlib import Path
from random import Random

import pytest

from anabranch.bencode import decode
from benchmarks import dht
from benchmarks.case import BenchmarkFailed
from benchmarks.dht_asker import TOLD, Asker, Neighbourhood, nodes_in

CASES = {case.name: case for case in dht.cases(0.0)}


@pytest.mark.interop
@pytest.mark.parametrize("who", [0, 1], ids=["anabranch", "libtorrent"])
def test_each_node_is_measured_by_what_it_answers(who: int, tmp_path: Path) -> None:
    """After its neighbours are known to it, and a torrent is announced to it by a hundred hosts."""
    contender = CASES["dht-get-peers-known"].contenders[who]
    if contender.available:
        pytest.skip(contender.available)
    values = contender.run(tmp_path).values
    assert values["queries per CPU-s"] > 0
    assert values["queries per CPU-s"] > 0
    assert values["peak RSS MiB"] > 1


def test_who_is_around_answers_as_a_node_does() -> None:
    """With those nearest to the target."""
    with Neighbourhood(Random(1)) as around, Asker(around.addresses[0], Random(2)) as asker:
        answer = asker.one(b"find_node", b"6:target20:" + bytes(20))
        assert nodes_in(answer) == TOLD
        message = decode(answer)
        assert isinstance(message, dict)
        assert message[b"t"] == b"xx"
        assert nodes_in(asker.one(b"ping", b"")) == 0


def test_a_node_that_answers_nothing_or_wrongly_has_failed() -> None:
    """Its round counts for nothing."""
    with Neighbourhood(Random(1)) as around, Asker(around.addresses[0], Random(2)) as asker:
        assert asker.flood(b"ping", [b""], 0.01, b"2:id20:") > 0
        with pytest.raises(BenchmarkFailed, match="without b'5:token'"):
            asker.flood(b"ping", [b""], 0.01, b"5:token")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        with Asker(deaf.getsockname(), Random(2)) as asker:
            with pytest.raises(BenchmarkFailed, match="no answer to ping"):
                asker.one(b"ping", b"")
            with pytest.raises(BenchmarkFailed, match="questions were not answered, 0 were"):
                asker.flood(b"ping", [b""], 0.01, b"2:id20:")
