"""Attacks on a DHT node by answers to it: false nodes and peers, false transactions, ids that crowd around its own.

What it asks, it asks because it was told of us; every script makes itself known first, and answers pings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from anabranch.bencode import encode
from anabranch.model import Address

from .dht_scene import DhtScene, DhtScript, DhtSteps, Heard, Shot, answered, asked_by_it
from .dht_talk import Fields, compact, compact_nodes, error, part, query, read, reply, text
from .scene import Pause

_TURNS = 60
_TURN = 0.25  # seconds
_CODES = (0, 201, 202, 203, 204, 205, 301, 302, -1, 2**40)

Answer = Callable[[DhtScene, Heard, Fields], Iterator[Shot]]


def _answering(answer: Answer) -> DhtScript:
    """Who gets known from all addresses, and answers each question but ping in that way."""

    def script(scene: DhtScene) -> DhtSteps:
        for turn in range(_TURNS):
            if turn % 8 == 0:
                for ours in scene.ours:
                    yield scene.ask(b"find_node", ours, target=scene.draw.randbytes(20))
            yield Pause(_TURN)
            for heard, fields in asked_by_it(scene):
                if fields.get(b"q") == b"ping":
                    yield answered(heard, scene)
                else:
                    yield from answer(scene, heard, fields)

    return script


def _near(scene: DhtScene, fields: Fields, bits: int = 60) -> bytes:
    """An id that is almost what was asked for."""
    asked = part(fields, b"a")
    target = text(asked, b"target") or text(asked, b"info_hash") or scene.target_id
    return (int.from_bytes(target[:20], "big") ^ scene.draw.getrandbits(160 - bits)).to_bytes(20, "big")


def _nodes_at(*addresses: Callable[[DhtScene], Address]) -> Answer:
    """Who names nodes near the target at these addresses, twenty times each, and the same as peers."""

    def answer(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
        where = [address(scene) for address in addresses]
        nodes = compact_nodes(
            (_near(scene, fields), address) for _ in range(20) for address in where if not address.is_v6
        )
        peers = [compact(address) for _ in range(20) for address in where]
        yield answered(heard, scene, nodes=nodes[: 26 * 40], values=peers[:60])

    return answer


def _nobody(scene: DhtScene) -> Address:
    return scene.stranger()


_NOWHERE: tuple[Callable[[DhtScene], Address], ...] = (
    lambda scene: Address("224.0.0.1", 6881),
    lambda scene: Address("255.255.255.255", 6881),
    lambda scene: Address("0.0.0.0", 6881),
    lambda scene: Address(scene.stranger().host, 0),
    lambda scene: Address("ff02::1", 6881),
    lambda scene: Address("::", 6881),
)


def _false_transactions(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    right = text(fields, b"t")
    for _ in range(30):
        number = scene.draw.randbytes(len(right))
        nodes = compact_nodes([(_near(scene, fields), scene.own)])
        yield Shot(reply(number, scene.id_of(heard.at), nodes=nodes, token=b"tk"), heard.at)
    for number in (b"", right[:-1], right + b"\0", right[::-1]):
        if number != right:
            yield Shot(reply(number, scene.id_of(heard.at), nodes=b"", token=b"tk"), heard.at)


def _from_elsewhere(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    answer = answered(heard, scene, nodes=compact_nodes([(_near(scene, fields), scene.own)])).datagram
    for source in (Address(heard.at.host, heard.at.port ^ 1), scene.stranger(), scene.victim, scene.target):
        yield Shot(answer, source)


def _other_ids(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    node_id = scene.draw.choice([scene.draw.randbytes(20), scene.target_id, _near(scene, fields, 150), bytes(19)])
    yield Shot(reply(text(fields, b"t"), node_id, nodes=b"", token=b"tk"), heard.at)


def _twice(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    for _ in range(20):
        yield answered(heard, scene, nodes=compact_nodes([(_near(scene, fields), scene.stranger())]))


def _false_address(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    whole = read(answered(heard, scene).datagram)
    for told in (compact(scene.stranger()), compact(scene.victim)[:4], b"", bytes(6), bytes(18), bytes(400), 7):
        yield Shot(encode({**whole, b"ip": told}), heard.at)


def _large(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    nodes = compact_nodes((_near(scene, fields), scene.stranger()) for _ in range(40))
    yield answered(heard, scene, nodes=nodes[:-7], values=[b"x" * 200, b"", 5, [], bytes(6)] * 3, token=b"t" * 300)


def _errors(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    number = text(fields, b"t")
    yield Shot(error(number, scene.draw.choice(_CODES), "\x1b[2Jno\r\nlog line" * 20), heard.at)
    others: tuple[object, ...] = ([], [b"x"], {}, 5, [201, 202], [[], []])
    for told in others:
        yield Shot(encode({"t": number, "y": "e", "e": told}), heard.at)


def _false_items(scene: DhtScene, heard: Heard, fields: Fields) -> Iterator[Shot]:
    signed = {"k": scene.draw.randbytes(32), "sig": scene.draw.randbytes(64), "seq": scene.draw.randrange(-5, 2**62)}
    yield answered(heard, scene, v=b"forged" * 100, **signed)
    yield answered(heard, scene, v=[b""] * 200, samples=bytes(41), num=-1, interval=10**9, BFsd=b"\xff" * 256)


def _late(scene: DhtScene) -> DhtSteps:
    kept: list[Heard] = []
    for turn in range(_TURNS):
        if turn % 8 == 0:
            for ours in scene.ours:
                yield scene.ask(b"ping", ours)
        yield Pause(_TURN)
        kept += [heard for heard, _ in asked_by_it(scene)]
    yield Pause(20.0)
    for heard in kept[:500]:
        yield answered(heard, scene, nodes=compact_nodes([(scene.draw.randbytes(20), scene.own)]))


def _unasked(scene: DhtScene) -> DhtSteps:
    for _ in range(40):
        for _ in range(30):
            nodes = compact_nodes((scene.draw.randbytes(20), scene.stranger()) for _ in range(8))
            answer = reply(scene.draw.randbytes(4), scene.draw.randbytes(20), nodes=nodes, token=b"tk")
            yield Shot(answer, scene.draw.choice([scene.own, scene.stranger()]))
        yield Pause(_TURN)


def _sybils(scene: DhtScene) -> DhtSteps:
    """Ids that crowd around the node's own, from every address we have, at many ports of each, all of them alive."""
    yield scene.ask(b"ping")
    for turn in range(_TURNS):
        yield Pause(_TURN)
        for heard, fields in asked_by_it(scene):
            node_id = _near(scene, {}, 100)
            nodes = compact_nodes((_near(scene, fields, 100), ours) for ours in scene.ours[:8])
            yield Shot(reply(text(fields, b"t"), node_id, nodes=nodes, token=b"tk"), heard.at)
        for _ in range(10):
            source = scene.ours[turn % len(scene.ours)] if turn % 2 else scene.neighbour()
            yield Shot(query(b"find_node", _near(scene, {}, 100), b"aa", target=scene.target_id), source)


_KINDS: dict[str, tuple[str, Answer]] = {
    "ghosts": ("names nodes near the target that do not exist", _nodes_at(_nobody)),
    "nowhere": ("names nodes and peers at port 0, multicast and broadcast addresses", _nodes_at(*_NOWHERE)),
    "themselves": ("names the node's own address", _nodes_at(lambda scene: scene.target)),
    "victims": ("names a victim's address, under many ids", _nodes_at(lambda scene: scene.victim)),
    "sinkhole": ("names itself, under ids that are almost the target", _nodes_at(lambda scene: scene.own)),
    "other-transactions": ("answers with transaction ids that are not the question's", _false_transactions),
    "elsewhere": ("answers from other addresses and ports than were asked", _from_elsewhere),
    "other-ids": ("has another id in each answer, also the node's own", _other_ids),
    "twenty-answers": ("answers each question twenty times", _twice),
    "false-address": ("tells the node false addresses of its own", _false_address),
    "large-answers": ("lists that are too long and end within a node, tokens of 300 bytes", _large),
    "errors": ("refuses everything, in every way", _errors),
    "false-items": ("items, samples and numbers of peers that cannot be", _false_items),
}

POISONS: dict[str, tuple[str, DhtScript]] = {
    **{name: (about, _answering(answer)) for name, (about, answer) in _KINDS.items()},
    "late-answers": ("answers everything when nobody waits any more", _late),
    "unasked-answers": ("answers what nobody asked, with nodes that do not exist", _unasked),
    "sybils": ("a crowd of ids around the node's own, at many addresses", _sybils),
}
