"""How commands get into the DHT and out of it again: entries, what is remembered, time limits, signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from anabranch.cli.dht_node import NothingFound, Reach, Visit
from anabranch.dht import Dht, Looked, Operation
from anabranch.model import Address
from anabranch.net import Datagrams, NotResolved, udp_socket
from anabranch.storage import SessionStore
from dht_nodes import Nodes, dht_nodes
from programs import run, running

HASH = "159ecfca2671791d88186a7f89e6cb1aa64fb29b"
NOWHERE = "127.7.3.250:9"
HOST = "127.7.3.99"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with dht_nodes(9, "127.7.3") as opened:
        yield opened


def test_nodes_that_answered_are_known_to_the_next_command(tmp_path: Path, nodes: Nodes) -> None:
    """It needs no other entry; the state directory is the one that downloads use, or is named."""
    more = ("--bind", HOST, "--timeout", "10")
    first = run(tmp_path, "dht", "announce", HASH, "--port", "7", "--dht-bootstrap", nodes.entry, *more)
    assert first.returncode == 0, first.stderr
    assert SessionStore(tmp_path / "state home" / "anabranch").load_dht()
    again = run(tmp_path, "dht", "get-peers", HASH, "--dht-bootstrap", NOWHERE, *more)
    assert (again.returncode, again.stdout) == (0, f"{HOST}:7\n")
    elsewhere = run(tmp_path, "dht", "get-peers", HASH, "--state", "other", *more, "--timeout", "0.5")
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")


def test_where_nobody_answers_that_is_said_in_time(tmp_path: Path) -> None:
    """With what can be done; nothing is remembered."""
    told = run(tmp_path, "dht", "get-peers", HASH, "--bind", HOST, "--timeout", "0.5", "--state", "s")
    said = "no node of the DHT answered in 0.5 s; name a node with --dht-bootstrap HOST:PORT"
    assert (told.returncode, told.stdout, told.stderr) == (1, "", f"anabranch: {said}\n")
    told = run(
        tmp_path, "dht", "get", HASH, "--bind", HOST, "--timeout", "0.5", "--state", "s", "--dht-bootstrap", NOWHERE
    )
    assert (told.returncode, told.stderr) == (1, "anabranch: no node of the DHT answered in 0.5 s\n")
    assert SessionStore(tmp_path / "s").load_dht() == b""


def test_where_the_names_of_nodes_are_not_known_that_is_said() -> None:
    """Nodes that are silent are another trouble than a name that is written wrong."""

    async def unknown(host: str, port: int) -> list[Address]:
        raise NotResolved(host, "nobody knows it")

    async def work() -> None:
        clock, datagrams = asyncio.get_running_loop().time, Datagrams(udp_socket(HOST))
        async with asyncio.TaskGroup() as group:
            dht = Dht([datagrams], clock=clock, bootstrap=("wrong.example:1",), resolve=unknown)
            group.create_task(dht.run())
            with pytest.raises(NothingFound, match=r"^no node .* in 0\.1 s, and names of nodes were not found$"):
                await Visit(dht, Reach(("wrong.example:1",), (), 0, None, 0.1, json=False)).enter()
            dht.close()
        datagrams.close()

    asyncio.run(work())


def test_what_was_found_by_the_end_of_the_time_is_taken() -> None:
    """The look-up is ended then, and tells what it has."""
    found = Looked(bytes(20), peers=(Address("192.0.2.7", 1),))
    looks: list[float] = []

    async def work() -> Looked:
        clock = asyncio.get_running_loop().time
        visit = Visit(Dht([], clock=clock), Reach((), (), 0, None, 0.1, json=False))
        return await visit.look(
            lambda done: Operation(lambda now: done(found)), meanwhile=lambda: looks.append(clock())
        )

    assert asyncio.run(work()) is found
    assert len(looks) >= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(tmp_path: Path, number: int) -> None:
    """Exit code 130, at once."""
    line = ("dht", "get-peers", HASH, "--bind", HOST, "--port", "0", "--dht-bootstrap", NOWHERE, "--timeout", "60")
    with running(tmp_path, *line, "-vv") as program:
        assert program.child.stderr is not None
        program.child.stderr.readline()  # by then it is at work
        assert program.end(number) == 130


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """With the system's words."""
    told = run(tmp_path, "dht", "ping", NOWHERE, "--bind", "192.0.2.1")
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert "192.0.2.1" in told.stderr
