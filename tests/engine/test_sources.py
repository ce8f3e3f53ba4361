"""Where a magnet link says that the .torrent file may be had: who is asked, when, and again when."""

from __future__ import annotations

from contextlib import suppress
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine import adding, events, sources
from anabranch.engine.sources import MetadataSource, NotServed
from anabranch.metainfo import Magnet, MetainfoError
from anabranch.model import InfoHash, InputRefused, TorrentError
from anabranch.net import NetworkFailed, NotResolved, Trouble
from engine.clocks import Clock
from engine.remotes import Teacher
from engine.rig import Node, until
from engine.samples import modern, sample

HASH = InfoHash(b"\xab" * 20)
GONE = NetworkFailed(Trouble.CONNECTION, "Connection refused")


def link(*urls: str, name: InfoHash = HASH) -> Magnet:
    return Magnet(v1=name, sources=urls)


def url(number: int) -> str:
    return f"https://{number}.example/a.torrent?passkey=s3cret"


def taken(node: Node, under_way: int = 0) -> list[str]:
    """Who is to be asked now."""
    with node.engine.turn:
        return [one.url for one in sources.take(node.engine, node.engine.clock(), under_way)]


def fails(node: Node, source: MetadataSource, error: TorrentError = GONE) -> list[tuple[str, str, float]]:
    """It was asked, in vain. What is told of it."""
    node.loop.run(sources.failed, node.engine, source, error)
    node.settle()
    told = [one for one in node.told() if isinstance(one, events.MetadataSourceFailed)]
    return [(one.source, one.reason, one.seconds) for one in told]


def test_http_servers_are_asked_one_after_the_other() -> None:
    """The first at once, each further one five seconds later: mostly the first will do."""
    node = Node(clock := Clock())
    node.learn(link(url(1), url(2), url(3)))
    assert node.loop.asked_to_dial
    assert taken(node) == [url(1)]
    assert taken(node) == []
    clock.now += 5
    assert taken(node) == [url(2)]
    clock.now += 5
    assert taken(node) == [url(3)]
    clock.now += 100_000
    assert taken(node) == []


def test_what_is_no_http_server_is_passed_over_and_of_many_eight_are_asked() -> None:
    """A link may name file-sharing networks, other links and hashes; and it comes from a stranger."""
    others = ("urn:sha1:ABC", "magnet:?xt=urn:btih:00", "dchub://hub.example", "ftp://host.example/a", "file:///etc/x")
    node = Node(clock := Clock())
    node.learn(link(*others, *map(url, range(20))))
    clock.now += 1000
    assert [*taken(node), *taken(node), *taken(node)] == [url(number) for number in range(8)]


def test_four_are_asked_at_once_for_the_whole_client() -> None:
    """Each may bring 64 MiB. Who waits is asked as soon as there is room."""
    node = Node(Clock())
    for number in range(10):
        node.learn(link(url(number), name=InfoHash(bytes([number]) * 20)))
    assert taken(node, under_way=1) == [url(0), url(1), url(2)]
    assert taken(node, under_way=4) == []
    assert taken(node, under_way=2) == [url(3), url(4)]


def test_one_that_fails_is_asked_again_after_1_2_and_4_minutes_and_then_no_more() -> None:
    """A server may be back soon; one that is not is left alone in this run."""
    node = Node(clock := Clock())
    torrent = node.learn(link(url(1)))
    source = torrent.stage.sources[url(1)]  # type: ignore[union-attr]  # it is learning
    for pause in (60.0, 120.0, 240.0, inf):
        assert taken(node) == [url(1)]
        assert fails(node, source) == [("https://1.example", "Connection refused", pause)]
        clock.now += min(pause, 1e6) - 0.1
        assert taken(node) == []
        clock.now += 0.1
    assert taken(node) == []


def test_where_one_fails_the_next_is_asked_at_once() -> None:
    """Its turn need not be waited for."""
    node = Node(Clock())
    torrent = node.learn(link(url(1), url(2), url(3)))
    known = torrent.stage.sources  # type: ignore[union-attr]  # it is learning
    assert taken(node) == [url(1)]
    fails(node, known[url(1)])
    assert taken(node) == [url(2)]
    fails(node, known[url(2)])
    assert taken(node) == [url(3)]
    fails(node, known[url(3)])
    assert taken(node) == []


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (GONE, True),
        (NetworkFailed(Trouble.TIMEOUT, "no answer within 30 s"), True),
        (NetworkFailed(Trouble.TLS, "the server's certificate was refused"), True),
        (NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP"), True),
        (NotResolved("1.example", "Temporary failure in name resolution"), True),
        (TorrentError("internal error"), True),
        (NotServed(500), True),
        (NotServed(503), True),
        (NotServed(429), True),
        (NotServed(408), True),
        (NotServed(404), False),
        (NotServed(403), False),
        (NotServed(204), False),
        (NetworkFailed(Trouble.SIZE, "the reply is longer than 67108864 bytes"), False),
        (NetworkFailed(Trouble.FORBIDDEN, "127.0.0.1 is this machine"), False),
        (NetworkFailed(Trouble.REDIRECT, "more than 5 redirects"), False),
        (MetainfoError("what it has is another torrent's file"), False),
        (InputRefused("the URL's port is no number"), False),
    ],
    ids=str,
)
def test_what_will_not_become_better_is_not_asked_again(error: TorrentError, again: bool) -> None:
    """A wrong file, a file too large, a door that stays shut; what the network or a busy server does may pass."""
    node = Node(clock := Clock())
    torrent = node.learn(link(url(1)))
    assert taken(node) == [url(1)]
    source = torrent.stage.sources[url(1)]  # type: ignore[union-attr]  # it is learning
    assert fails(node, source, error) == [("https://1.example", str(error), 60.0 if again else inf)]
    clock.now += 60
    assert taken(node) == [url(1)] * again


def test_a_status_is_told_without_the_server_s_words_for_it() -> None:
    """They could hold anything."""
    assert str(NotServed(404)) == "the server answers 404"


def test_nobody_is_asked_any_more_once_peers_have_told() -> None:
    """Nor is it told that one failed that was being asked then."""
    content = sample()
    node = Node(clock := Clock())
    torrent = node.learn(link(url(1), url(2), name=content.info_hash))
    assert taken(node) == [url(1)]
    source = torrent.stage.sources[url(1)]  # type: ignore[union-attr]  # it is learning
    Teacher(node, torrent, content)
    until(clock, node, lambda: torrent.signals.got_info.is_set, 20)
    assert not sources.wanted(source)
    clock.now += 1000
    assert taken(node) == []
    assert fails(node, source) == []


def test_nobody_is_asked_for_a_torrent_that_was_dropped() -> None:
    """Its link is forgotten with it."""
    node = Node(clock := Clock())
    torrent = node.learn(link(url(1), url(2)))
    assert taken(node) == [url(1)]
    source = torrent.stage.sources[url(1)]  # type: ignore[union-attr]  # it is learning
    node.drop(torrent)
    node.settle()
    clock.now += 5
    assert (sources.wanted(source), taken(node), fails(node, source)) == (False, [], [])


def test_a_link_that_is_added_again_adds_what_it_names_besides() -> None:
    """Who was asked already is not asked anew because of that."""
    node = Node(clock := Clock())
    torrent = node.learn(link(url(1)))
    assert taken(node) == [url(1)]
    for _ in range(2):
        with node.engine.turn:
            adding.enrich(node.engine, torrent, link(url(1), url(2)))
    assert taken(node) == [url(2)]
    clock.now += 1000
    assert taken(node) == []


def test_a_client_may_be_told_to_ask_none() -> None:
    """Config.disable_metadata_sources: a link then leads to peers and trackers only."""
    node = Node(clock := Clock(), disable_metadata_sources=True)
    torrent = node.learn(link(url(1)))
    with node.engine.turn:
        adding.enrich(node.engine, torrent, link(url(2)))
    clock.now += 1000
    assert taken(node) == []


@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_a_file_is_believed_if_it_has_every_hash_of_the_link(kind: str) -> None:
    """Of a hybrid's link that names one side only, that one."""
    ours, other = modern(kind, (100_000,)).metainfo, modern(kind, (100_001,)).metainfo
    v1, v2 = ours.info.v1, ours.info.v2
    assert sources.read(ours.raw, v1, v2) == ours
    if kind == "hybrid":
        assert sources.read(ours.raw, v1, None) == sources.read(ours.raw, None, v2) == ours
        with pytest.raises(MetainfoError, match="another torrent's"):
            sources.read(ours.raw, v1, other.info.v2)
    with pytest.raises(MetainfoError, match="another torrent's"):
        sources.read(other.raw, v1, v2)


def test_one_side_of_a_link_to_a_hybrid_is_not_the_torrent() -> None:
    """The v1 torrent with the link's v1 hash alone is not what the link names."""
    v1, v2 = modern("v1", (100_000,)).metainfo, modern("v2", (100_000,)).metainfo
    for one in (v1, v2):
        with pytest.raises(MetainfoError, match="another torrent's"):
            sources.read(one.raw, v1.info.v1, v2.info.v2)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    """They come from a stranger."""
    with suppress(MetainfoError):
        sources.read(noise, HASH, None)


def test_what_is_told_has_no_secret_of_the_url() -> None:
    """Passkeys stand behind the host."""
    assert "s3cret" not in repr(MetadataSource(Node(Clock()).learn(link()), url(1)))
