"""Attacks on a DHT node by how much, and in whose name: floods, reflection, stores that are to be filled."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1

from anabranch.bencode import encode
from anabranch.model import Address

from .dht_scene import DhtScene, DhtScript, DhtSteps, Shot, answered, asked_by_it
from .scene import Pause

FLOOD = 3000  # datagrams of a flood
_AT_ONCE = 30  # before time passes: what a fast line brings in
_MOMENT = 0.01  # seconds
_METHODS = (b"ping", b"find_node", b"get_peers", b"get", b"sample_infohashes", b"nonsense")


def _flood(shot: Callable[[DhtScene, int], Shot], count: int = FLOOD) -> DhtScript:
    """Who sends that many, as fast as may be."""

    def script(scene: DhtScene) -> DhtSteps:
        for number in range(count):
            yield shot(scene, number)
            if number % _AT_ONCE == 0:
                yield Pause(_MOMENT)

    return script


def _question(scene: DhtScene, number: int, source: Address) -> Shot:
    target = scene.draw.randbytes(20)
    method = _METHODS[number % len(_METHODS)]
    if method == b"get_peers":
        return scene.ask(method, source, info_hash=target)
    return scene.ask(method, source, target=target)


def with_token(flood: DhtScript) -> DhtScript:
    """Who first asks for a token, in order, and then floods; its own questions are answered meanwhile."""

    def script(scene: DhtScene) -> DhtSteps:
        for _ in range(5):
            yield scene.ask(b"get_peers", info_hash=scene.draw.randbytes(20))
            yield Pause(1.0)
            for heard, _ in asked_by_it(scene):
                yield answered(heard, scene)
            if scene.token:
                break
        yield from flood(scene)

    return script


def _announce(scene: DhtScene, number: int) -> Shot:
    return scene.ask(b"announce_peer", info_hash=scene.draw.randbytes(20), port=6881, token=scene.token)


def _crowd(scene: DhtScene, number: int) -> Shot:
    port = 1 + number % 65535
    return scene.ask(b"announce_peer", info_hash=b"\7" * 20, port=port, token=scene.token, implied_port=0)


def _stolen(scene: DhtScene, number: int) -> Shot:
    source = scene.stranger() if number % 2 else scene.neighbour()
    return scene.ask(b"announce_peer", source, info_hash=b"\7" * 20, port=6881, token=scene.token)


def _guess(scene: DhtScene, number: int) -> Shot:
    token = scene.draw.randbytes((8, 4, 20, 0, 200)[number % 5])
    return scene.ask(b"announce_peer", info_hash=b"\7" * 20, port=6881, token=token)


def _put(scene: DhtScene, number: int) -> Shot:
    return scene.ask(b"put", v=b"%04d" % (number % 10_000) + bytes(980), token=scene.token)


def _forged(scene: DhtScene, number: int) -> Shot:
    signature = {"k": scene.draw.randbytes(32), "sig": scene.draw.randbytes(64), "seq": number}
    return scene.ask(b"put", v=b"forged", token=scene.token, **signature)


def _large_put(scene: DhtScene, number: int) -> Shot:
    value: object = (b"x" * 1001, [b""] * 700, {f"{key:03}": key for key in range(120)}, b"")[number % 4]
    return scene.ask(b"put", v=value, salt=b"s" * (number % 80), token=scene.token)


def _store_and_reflect(scene: DhtScene) -> DhtSteps:
    """Put what is large where it is, and let the victim have it; slowly, so that nobody is too busy for it."""
    stored = b"x" * 990
    yield scene.ask(b"put", v=stored, token=scene.token)
    target = sha1(encode(stored), usedforsecurity=False).digest()
    info_hash = scene.draw.randbytes(20)
    for port in range(1, 80):
        yield scene.ask(b"announce_peer", info_hash=info_hash, port=port, token=scene.token, implied_port=0)
        yield Pause(0.25)
    for _ in range(40):
        yield scene.ask(b"get", scene.victim, target=target)
        yield scene.ask(b"get_peers", scene.victim, info_hash=info_hash, scrape=1)
        yield Pause(0.5)


def _patient(question: Callable[[DhtScene, Address, int], Shot]) -> DhtScript:
    """Who asks from every address that we have with a token of its own, and never more than is heard."""

    def script(scene: DhtScene) -> DhtSteps:
        for number in range(80):
            for ours in scene.ours:
                if number % 40 == 0:
                    yield scene.ask(b"get_peers", ours, info_hash=scene.draw.randbytes(20))
                else:
                    yield question(scene, ours, number)
            yield Pause(0.25)
            for heard, _ in asked_by_it(scene):
                yield answered(heard, scene)

    return script


def _patient_announce(scene: DhtScene, ours: Address, number: int) -> Shot:
    info_hash = scene.draw.randbytes(20)
    return scene.ask(b"announce_peer", ours, info_hash=info_hash, port=6881, token=scene.token_of(ours))


def _patient_put(scene: DhtScene, ours: Address, number: int) -> Shot:
    return scene.ask(b"put", ours, v=scene.draw.randbytes(990), token=scene.token_of(ours))


def _reflection(scene: DhtScene, number: int) -> Shot:
    return _question(scene, number, scene.victim)


def _slow_reflection(scene: DhtScene) -> DhtSteps:
    for number in range(60):
        yield _question(scene, number, scene.victim)
        yield Pause(0.5)


def _short_questions(scene: DhtScene, number: int) -> Shot:
    method = (b"ping", b"x", b"get")[number % 3]
    body = b"d1:ad2:id20:%be1:q%d:%b1:t1:a1:y1:qe" % (scene.draw.randbytes(20), len(method), method)
    return Shot(body, scene.victim)


def _from_nowhere(scene: DhtScene, number: int) -> Shot:
    nowhere = (
        Address(scene.victim.host, 0),
        Address("224.0.0.1", 6881),
        Address("255.255.255.255", 6881),
        Address("0.0.0.0", 6881),
        Address(scene.victim.host, 19),
        scene.target,
    )
    return _question(scene, number // len(nowhere), nowhere[number % len(nowhere)])


FLOODS: dict[str, tuple[str, DhtScript]] = {
    "flood-one": (
        f"{FLOOD:,} questions of all kinds from one address",
        _flood(lambda scene, n: _question(scene, n, scene.own)),
    ),
    "flood-network": (
        f"{FLOOD:,} questions from all over one network",
        _flood(lambda scene, n: _question(scene, n, scene.neighbour())),
    ),
    "flood-spoofed": (
        f"{FLOOD:,} questions from as many addresses",
        _flood(lambda scene, n: _question(scene, n, scene.stranger())),
    ),
    "reflection": (f"{FLOOD:,} questions in a victim's name", _flood(_reflection)),
    "slow-reflection": ("two questions a second in a victim's name, for half a minute", _slow_reflection),
    "short-reflection": ("the shortest questions there are, in a victim's name", _flood(_short_questions)),
    "stored-reflection": (
        "what is large is stored, and then asked for in a victim's name",
        with_token(_store_and_reflect),
    ),
    "from-nowhere": (
        "questions from port 0, port 19, multicast addresses, the node itself",
        _flood(_from_nowhere, 600),
    ),
    "patient-announces": (
        "torrents from many networks, as fast as each is heard",
        _patient(_patient_announce),
    ),
    "patient-puts": ("items from many networks, as fast as each is heard", _patient(_patient_put)),
    "token-guessing": (f"{FLOOD:,} announces with made-up tokens", _flood(_guess)),
    "token-theft": ("announces of others with a token that is ours", with_token(_flood(_stolen, 1000))),
    "announce-flood": (f"{FLOOD:,} torrents announced", with_token(_flood(_announce))),
    "announce-crowd": (f"{FLOOD:,} ports of one address announced for a torrent", with_token(_flood(_crowd))),
    "put-flood": (f"{FLOOD:,} items of a kilobyte", with_token(_flood(_put))),
    "put-forged": ("items whose signatures are wrong", with_token(_flood(_forged, 600))),
    "put-large": ("items that are too large, with too much salt", with_token(_flood(_large_put, 300))),
    "sample-flood": (
        f"{FLOOD:,} questions for samples of the torrents",
        _flood(lambda scene, n: scene.ask(b"sample_infohashes", target=scene.draw.randbytes(20))),
    ),
}
