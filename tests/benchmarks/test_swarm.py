"""Programs are driven to the end, what came is compared, and bytes take their time on a relay."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from benchmarks.case import BenchmarkFailed
from benchmarks.gauge import MIB
from benchmarks.seats import compare
from benchmarks.swarm import Relay
from benchmarks.transfer import LIBTORRENT, OURS, Player, content, pair


def test_files_are_compared_to_the_last_byte(tmp_path: Path) -> None:
    """A benchmark of wrong data is none."""
    sent, received = tmp_path / "sent", tmp_path / "received"
    data = bytes(range(256)) * 40_000  # two reads and a part
    sent.write_bytes(data)
    for wrong in (None, data[:-1], data + b"x", data[:-1] + b"\0"):
        if wrong is not None:
            received.write_bytes(wrong)
        with pytest.raises(BenchmarkFailed):
            compare(received, sent)
    received.write_bytes(data)
    compare(received, sent)


def test_a_relay_passes_on_every_byte_and_the_end_later(tmp_path: Path) -> None:
    """Both ways; nothing comes sooner than its delay."""
    delay = 0.02
    sent = bytes(range(256)) * 20_000
    with socket.create_server(("127.0.65.2", 0)) as server, Relay(tmp_path, "127.0.65.3", delay) as relay:
        relay.lead_to(server.getsockname())
        begun = time.monotonic()
        with socket.create_connection(relay.address) as caller:
            caller.sendall(b"question")
            with server.accept()[0] as called:
                assert called.recv(8, socket.MSG_WAITALL) == b"question"
                assert time.monotonic() - begun >= delay
                called.sendall(sent)
                called.shutdown(socket.SHUT_WR)
                assert caller.recv(len(sent), socket.MSG_WAITALL) == sent
                assert time.monotonic() - begun >= 2 * delay
                assert caller.recv(1) == b""


@pytest.mark.deep
@pytest.mark.parametrize("player", [OURS, LIBTORRENT], ids=lambda player: player.name)
def test_a_transfer_is_measured(player: Player, tmp_path: Path) -> None:
    """From end to end, small; so that it still runs when somebody wants to know."""
    if player.missing:
        pytest.skip(player.missing)
    content(16 * MIB, MIB)(tmp_path)
    (tmp_path / "round").mkdir()
    values = pair(player, player).run(tmp_path / "round").values
    assert 8 * MIB / 1e6 <= values["MB/s"] * values["seconds"] <= 16 * MIB / 1e6
    assert all(value >= 0 for value in values.values())
    assert values["leecher peak RSS MiB"] > values["leecher private MiB"] > 1
