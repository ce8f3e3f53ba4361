"""The simulated network keeps its own promises: rates, latency, fairness, bounded buffers."""

from __future__ import annotations

from math import inf

import pytest

from anabranch.testing.swarm_network import QUANTUM, Line, Socket, Timeline

SIZE = 64 * 1024


class Reader:
    """Owns a socket and reads, at most *greed* bytes in all."""

    def __init__(self, socket: Socket, greed: float = inf) -> None:
        self.socket = socket
        self.greed = greed
        self.data = bytearray()
        self.times: list[float] = []
        self.to_send = b""
        self.gone = False
        socket.owner = self

    def readable(self, data: bytes | bytearray) -> int:
        count = int(min(len(data), self.greed - len(self.data)))
        self.data += data[:count]
        self.times.append(self.socket.line.timeline.now)
        return count

    def writable(self) -> None:
        while self.to_send and (room := self.socket.room):
            part, self.to_send = self.to_send[:room], self.to_send[room:]
            self.socket.send(part)

    def hung_up(self) -> None:
        self.gone = True


def joined(one: Line, two: Line) -> tuple[Reader, Reader]:
    way = one.latency + two.latency
    near, far = Socket(one, way, SIZE), Socket(two, way, SIZE)
    near.far, far.far = far, near
    return Reader(near), Reader(far)


def send(sender: Reader, data: bytes) -> None:
    sender.to_send += data
    sender.writable()


def run(timeline: Timeline) -> None:
    while timeline.step():
        pass


@pytest.mark.parametrize(("up", "down"), [(1_000_000, inf), (inf, 1_000_000), (1_000_000, 1_000_000)])
def test_bytes_come_in_order_at_the_rate_of_the_slower_line(up: float, down: float) -> None:
    """All of the line is used, from one end to the other."""
    timeline = Timeline(0.0)
    sender, reader = joined(Line(timeline, up, latency=0.01), Line(timeline, down=down, latency=0.01))
    data = bytes(range(250)) * 16_000
    send(sender, data)
    run(timeline)
    assert reader.data == data
    assert 4.0 < reader.times[-1] < 4.4


def test_a_line_is_shared_evenly() -> None:
    """Who has much to send does not go before who has little."""
    timeline = Timeline(0.0)
    line = Line(timeline, 100_000)
    pairs = [joined(line, Line(timeline)) for _ in range(4)]
    for sender, _ in pairs:
        send(sender, bytes(200_000))
    while timeline.step(4.0):
        pass
    got = [len(reader.data) for _, reader in pairs]
    assert max(got) - min(got) <= 2 * QUANTUM


def test_a_reader_that_pauses_stops_its_sender() -> None:
    """The sockets hold so much, and the memory no more; when it goes on, nothing is lost."""
    timeline = Timeline(0.0)
    sender, reader = joined(Line(timeline, 1_000_000), Line(timeline))
    reader.socket.paused = True
    send(sender, bytes(10 * SIZE))
    run(timeline)
    assert len(sender.to_send) == 9 * SIZE
    reader.socket.resume()
    run(timeline)
    assert len(reader.data) == 10 * SIZE


def test_what_was_left_unread_is_offered_again() -> None:
    """A reader takes what it likes."""
    timeline = Timeline(0.0)
    sender, reader = joined(Line(timeline), Line(timeline))
    reader.greed = 10
    send(sender, b"0123456789abc")
    run(timeline)
    reader.greed = 13
    reader.socket.resume()
    assert reader.data == b"0123456789abc"


def test_a_close_is_heard_after_the_latency_and_a_cut_is_not() -> None:
    """A machine that is reset says so; a cable that is cut does not."""
    timeline = Timeline(0.0)
    one, two = joined(Line(timeline), Line(timeline))
    one.socket.close()
    run(timeline)
    assert two.gone
    assert timeline.now == pytest.approx(0.02)
    one, two = joined(Line(timeline), Line(timeline))
    one.socket.line.cut = True
    one.socket.cut()
    send(two, b"anybody there?")
    run(timeline)
    assert not two.gone
    assert not one.data


def test_who_sends_to_what_is_closed_is_told() -> None:
    """As by a reset: also when the line was cut meanwhile and is back."""
    timeline = Timeline(0.0)
    one, two = joined(Line(timeline), Line(timeline))
    one.socket.cut()
    send(two, b"anybody there?")
    run(timeline)
    assert two.gone


def test_what_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop in a simulation must not hang a test."""
    monkeypatch.setattr("anabranch.testing.swarm_network.MOST_EVENTS", 100)
    timeline = Timeline(0.0)

    def again() -> None:
        timeline.after(0, again)

    again()
    with pytest.raises(AssertionError, match="never ends"):
        run(timeline)
