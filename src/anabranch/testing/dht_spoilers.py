"""Attacks on a DHT node by what it can make nothing of: noise, messages that are spoiled, too long, too deep.

Source: the list of what befell other programs: stacks that overflowed on 20 KB of open lists, integers of thousands of
digits, reads behind the end of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from anabranch.bencode import encode

from .dht_scene import DhtScene, DhtScript, DhtSteps, Shot, asked_by_it
from .dht_talk import part, query, read
from .scene import Pause

_ROUNDS = 20
_WRONG: tuple[object, ...] = (0, -1, 2**63, b"", b"x", b"x" * 500, [], [[]], [b"", 1], {}, {"": {}}, {"id": b"x" * 20})


def mutated(message: bytes, draw: Random) -> bytes:
    """The message with a few things done to it, as noise on the way or a bad program would."""
    spoiled = bytearray(message)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(spoiled) + 1)
        match draw.randrange(5):
            case 0:
                spoiled[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del spoiled[place : place + draw.randint(1, 8)]
            case 2:
                spoiled[place:place] = draw.choice([b"i0e", b"le", b"de", b"0:", b"1:", b"99:", b"e", b"d", b"l", b"-"])
            case 3:
                spoiled[place:place] = spoiled[place : place + draw.randint(1, 30)]
            case _:
                spoiled[place:place] = b"%d" % draw.choice([0, 9, 20, 2**31, 2**64])
    return bytes(spoiled)


def _each(make: Callable[[DhtScene], Iterator[bytes]], rounds: int = _ROUNDS) -> DhtScript:
    """Who sends what *make* makes, a moment between the rounds; from all over, as a node soon hears nobody who does."""

    def script(scene: DhtScene) -> DhtSteps:
        for _ in range(rounds):
            for place, datagram in enumerate(make(scene)):
                yield Shot(datagram, scene.stranger() if place else scene.own)
            yield Pause(0.05)

    return script


def _noise(scene: DhtScene) -> Iterator[bytes]:
    for _ in range(20):
        noise = scene.draw.randbytes(scene.draw.randrange(200))
        yield noise
        yield b"d" + noise


def _mutations(scene: DhtScene) -> Iterator[bytes]:
    return (mutated(message, scene.draw) for message in scene.valid())


def _prefixes(scene: DhtScene) -> Iterator[bytes]:
    for message in scene.valid():
        yield from (message[:length] for length in range(len(message) // 50, len(message), 1 + len(message) // 25))


def _oversized(scene: DhtScene) -> Iterator[bytes]:
    for size in (1_500, 2_049, 9_000, 60_000):
        yield query(b"ping", scene.id_of(scene.own), b"aa", x=bytes(size))
        yield query(b"x" * size, scene.id_of(scene.own))
        yield query(b"find_node", scene.id_of(scene.own), target=bytes(size))
        yield b"d" * size


def _deep(scene: DhtScene) -> Iterator[bytes]:
    for depth in (50, 101, 900, 30_000):
        yield b"l" * depth + b"e" * depth
        yield b"d1:a" * depth + b"de" + b"e" * depth
        yield b"d1:ad2:id20:" + bytes(20) + b"1:x" + b"l" * depth + b"e" * depth + b"e1:q4:ping1:t2:aa1:y1:qe"


def _integers(scene: DhtScene) -> Iterator[bytes]:
    start, end = b"d1:ad2:id20:" + bytes(20) + b"4:porti", b"ee1:q13:announce_peer1:t2:aa1:y1:qe"
    for digits in (
        b"",
        b"-",
        b"-0",
        b"00",
        b"9" * 21,
        b"9" * 1500,
        b"-" + b"9" * 1500,
        b"1.5",
        b"1e9",
        b"\xd9\xa3",
        b"+1",
    ):
        yield start + digits + end
    for length in (b"-1", b"00", b"9" * 19, b"4294967295", b"+1", b" 1"):
        yield b"d1:q" + length + b":ping1:t2:aa1:y1:qe"


def _many_items(scene: DhtScene) -> Iterator[bytes]:
    yield query(b"find_node", scene.id_of(scene.own), b"aa", target=bytes(20), want=[b"n4"] * 400)
    yield query(b"find_node", scene.id_of(scene.own), b"aa", target=bytes(20), want=[b""] * 900)
    yield encode({"a": {f"{number}": 0 for number in range(250)}, "q": "ping", "t": "aa", "y": "q"})


def _wrong_types(scene: DhtScene) -> Iterator[bytes]:
    for message in scene.valid():
        fields = read(message)
        wrong = scene.draw.choice(_WRONG)
        for name in list(fields):
            yield encode({**fields, name: wrong})
        for outer in (b"a", b"r"):
            inner = part(fields, outer)
            for name in inner:
                yield encode({**fields, outer: {**inner, name: wrong}})


def _long_numbers(scene: DhtScene) -> Iterator[bytes]:
    for size in (0, 1, 17, 33, 500, 1200):
        for method in (b"ping", b"get_peers", b"nonsense"):
            yield query(method, scene.id_of(scene.own), bytes(size), info_hash=bytes(20))


def _without_sender(scene: DhtScene) -> Iterator[bytes]:
    for node_id in (b"", bytes(19), bytes(21), bytes(20), b"\xff" * 20, scene.target_id):
        for method in (b"ping", b"find_node", b"get_peers", b"sample_infohashes"):
            yield query(method, node_id, b"aa", target=bytes(20), info_hash=bytes(20))


def _echo(scene: DhtScene) -> DhtSteps:
    yield scene.ask(b"ping")
    for _ in range(60):
        yield Pause(0.25)
        for heard in scene.take():
            yield Shot(heard.datagram, heard.at)
        for heard, _ in asked_by_it(scene):
            yield Shot(heard.datagram, scene.target)
        yield scene.ask(b"find_node", scene.target, target=scene.target_id)  # as if it asked itself
        yield scene.ask(b"ping")


SPOILERS: dict[str, tuple[str, DhtScript]] = {
    "noise": ("bytes that mean nothing, with and without a dictionary's beginning", _each(_noise)),
    "mutated": ("messages of every kind with a few bytes changed, lost, doubled", _each(_mutations, 60)),
    "prefixes": ("messages of every kind, cut anywhere", _each(_prefixes, 1)),
    "oversized": ("messages of up to 60,000 bytes", _each(_oversized)),
    "deep": ("lists and dictionaries up to 30,000 deep", _each(_deep)),
    "integers": ("numbers and lengths that are none, or of 1,500 digits", _each(_integers)),
    "many-items": ("hundreds of wishes and arguments in a question", _each(_many_items)),
    "wrong-types": ("every field of every message as something else", _each(_wrong_types, 5)),
    "long-numbers": ("transaction ids of up to 1,200 bytes, to be sent back", _each(_long_numbers)),
    "wrong-senders": ("questions from ids of 0 to 21 bytes, of the node itself, of zeros", _each(_without_sender)),
    "echo": ("its own datagrams sent back to it, and questions as if from itself", _echo),
}
