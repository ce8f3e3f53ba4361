"""Which web seeds a torrent has after a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from anabranch.engine.adding import MOST_WEBSEEDS, make, sources_of, take_over
from anabranch.engine.saving import key_of, picture
from anabranch.engine.state import Policy, TorrentState
from anabranch.metainfo import Magnet, Metainfo
from anabranch.storage import MemoryStorage, SavedWebSeed, SessionStore
from anabranch.webseed import Kind, Source
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample

CONTENT = sample(files=(70_000, 70_000), blocks=4)
NAMED = replace(CONTENT.metainfo, webseeds=("http://one.example/ \n", "http://two.example/"))


def made(node: Node, source: Metainfo | Magnet, sessions: SessionStore) -> TorrentState:
    """The torrent as the next run makes it."""
    key = key_of(node.add(CONTENT))
    torrent = make(source, key, MemoryStorage(), node.engine, node.forbidden, Policy())
    saved = sessions.load(key)
    if saved is not None:
        take_over(torrent, saved, sessions)
    return torrent


def test_a_torrent_s_own_web_seeds_are_known_from_its_beginning() -> None:
    """Of both kinds, in their order, each once; a link's as well. Nobody vouches for them."""
    both = replace(NAMED, httpseeds=("http://two.example/", "http://script.example/seed.php"))
    node = Node(Clock())
    torrent = make(both, key_of(node.add(CONTENT)), MemoryStorage(), node.engine, node.forbidden, Policy())
    assert list(torrent.swarm.webseeds.sources.values()) == [
        Source("http://one.example/"),
        Source("http://two.example/"),
        Source("http://script.example/seed.php", Kind.HTTP_SEEDS),
    ]
    link = Magnet.parse(f"magnet:?xt=urn:btih:{CONTENT.info_hash}&ws=http%3A%2F%2Fone.example%2F")
    assert sources_of(link) == [Source("http://one.example/")]


def test_a_list_of_thousands_is_cut() -> None:
    """Whoever makes a torrent does not decide how much memory we spend on it."""
    many = tuple(f"http://host.example/{number}/" for number in range(300_000))
    assert len(sources_of(replace(NAMED, webseeds=many))) == MOST_WEBSEEDS
    assert len(sources_of(replace(NAMED, httpseeds=many))) == MOST_WEBSEEDS
    assert [one.kind for one in sources_of(replace(NAMED, httpseeds=many))[:3]] == ["url-list", "url-list", "httpseeds"]


def test_what_the_user_added_is_remembered_and_trusted_again(tmp_path: Path) -> None:
    """With its headers. What the torrent names comes with the torrent, and is not remembered twice."""
    sessions = SessionStore(tmp_path)
    node = Node(Clock())
    torrent = made(node, NAMED, sessions)
    mine = Source("http://10.0.0.7/", trusted=True, headers=(("X-Key", "secret"),))
    torrent.swarm.webseeds.sources[mine.url] = mine
    saved = picture(torrent, stopped=True)
    assert saved.webseeds == (SavedWebSeed("http://10.0.0.7/", "url-list", (("X-Key", "secret"),)),)
    sessions.save(key_of(torrent), saved)
    again = made(Node(Clock()), NAMED, sessions)
    assert list(again.swarm.webseeds.sources) == ["http://one.example/", "http://two.example/", "http://10.0.0.7/"]
    assert again.swarm.webseeds.sources[mine.url] == mine


def test_one_that_a_torrent_names_and_the_user_too_is_the_user_s(tmp_path: Path) -> None:
    """Also after a restart."""
    sessions = SessionStore(tmp_path)
    torrent = made(Node(Clock()), NAMED, sessions)
    torrent.swarm.webseeds.sources["http://two.example/"] = Source("http://two.example/", trusted=True)
    sessions.save(key_of(torrent), picture(torrent, stopped=True))
    again = made(Node(Clock()), NAMED, sessions)
    assert [(one.url, one.trusted) for one in again.swarm.webseeds.sources.values()] == [
        ("http://one.example/", False),
        ("http://two.example/", True),
    ]


def test_what_this_version_does_not_know_is_left_out(tmp_path: Path) -> None:
    """A kind, or a header that cannot be sent: a later version, or damage that was not noticed, is no error."""
    sessions = SessionStore(tmp_path)
    torrent = made(Node(Clock()), NAMED, sessions)
    odd = (
        SavedWebSeed("http://a.example/", "carrier pigeon"),
        SavedWebSeed("http://b.example/", "url-list", (("bad\n", ""),)),
        SavedWebSeed("http://c.example/", "httpseeds"),
    )
    sessions.save(key_of(torrent), replace(picture(torrent, stopped=True), webseeds=odd))
    again = made(Node(Clock()), CONTENT.metainfo, sessions)
    assert list(again.swarm.webseeds.sources.values()) == [Source("http://c.example/", Kind.HTTP_SEEDS, trusted=True)]
