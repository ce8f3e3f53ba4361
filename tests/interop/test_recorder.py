"""The recorder of packets, which tests of privacy go by: what is sent is recorded, in order and whole."""

from __future__ import annotations

import os
import socket
from threading import Thread

import pytest

from interop.own_network import PREFIX, PREFIX6, in_own_network
from interop.recorder import Recorder

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("host", [f"{PREFIX}1", f"{PREFIX6}1"])
def test_every_datagram_and_every_stream_is_there(host: str) -> None:
    """Of either family, and of the direction that is asked for; a stream of some megabytes falls into many packets."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sent = [os.urandom(size) for size in (0, 1, 1400, 60_000)]
    stream = os.urandom(5_000_000)

    def work() -> Recorder:
        with (
            Recorder() as recorder,
            socket.socket(family, socket.SOCK_DGRAM) as datagrams,
            socket.create_server((host, 0), family=family) as server,
        ):
            datagrams.bind((host, 0))
            for payload in sent:
                datagrams.sendto(payload, datagrams.getsockname())

            def serve() -> None:
                conversation, _ = server.accept()
                with conversation:
                    while conversation.recv(1 << 16):
                        pass
                    conversation.sendall(b"all there")

            listener = Thread(target=serve)
            listener.start()
            with socket.create_connection(server.getsockname()[:2], source_address=(host, 0)) as caller:
                caller.sendall(stream)
                caller.shutdown(socket.SHUT_WR)
                assert caller.recv(100) == b"all there"
            listener.join()
        return recorder

    recorder = in_own_network(work)
    assert [datagram.payload for datagram in recorder.sent(host)] == sent
    assert sorted(recorder.streams(host), key=len) == [b"all there", stream]
