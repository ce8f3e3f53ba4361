"""Private torrents stay private (BEP 27, W32): packets are recorded as they leave, and looked through for their hashes.

A public torrent beside them, in the same client and with the same peers, shows each time all that must not be there:
what is not seen of the private ones is not missing because nothing was sent, or because nobody could have read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

import trees
from anabranch.api import Client, Magnet, Metainfo, create
from anabranch.testing import ScriptedPeer, content_in, greeted, right, serving
from interop.joined_hosts import Host, joined_hosts
from interop.libtorrent_dht import LibtorrentDht
from interop.matrix import PIECE
from interop.real_program import free_port
from interop.recorder import Recorder, Spoken
from ours import KIB, finished, make_client, until

pytestmark = pytest.mark.interop

SECOND = 1.2  # the engine looks once a second at who wants peers: what is not to be seen has its time until then
EVERYTHING = {"enable_lsd": True, "min_reconnect_time": 1}


@dataclass(frozen=True)
class Sample:
    """A torrent: as it is read, and as bytes."""

    metainfo: Metainfo
    data: bytes

    @property
    def info_hash(self) -> bytes:
        """What names it."""
        return bytes(self.metainfo.info.info_hash)


@dataclass(frozen=True)
class Scene:
    """Our client with all that finds peers, on one computer, and libtorrent with the same on the other.

    Args:
        here: Where our client is.
        there: Where libtorrent is, or will be.
        client: Ours. It knows a node of the DHT, which is libtorrent's.
        recorder: Has all that leaves *here*.
        start: Starts libtorrent; until then our node is alone.
        place: A directory for it all.
    """

    here: Host
    there: Host
    client: Client
    recorder: Recorder
    start: Callable[[], LibtorrentDht]
    place: Path

    def make(self, name: str, *, private: bool = True) -> Sample:
        """A torrent of a file that libtorrent will find."""
        path = trees.make_file(self.place / "seed" / name, 300 * KIB, seed=sum(name.encode()))
        data = create(path, piece_length=PIECE, private=private)
        return Sample(Metainfo.parse(data), data)

    def named(self, torrent: Sample) -> tuple[bool, bool]:
        """Whether a question of the DHT had the torrent's hash so far, and whether a multicast had it (BEPs 5, 14)."""
        raw, words = torrent.info_hash, torrent.info_hash.hex().encode()
        dht = lan = False
        for datagram in list(self.recorder.datagrams):
            dht |= raw in datagram.payload
            lan |= words in datagram.payload.lower()
        return dht, lan

    def wait_until_named(self, torrent: Sample) -> None:
        """Until a public torrent has been named in both ways."""
        until(
            lambda: self.named(torrent) == (True, True),
            what=f"{torrent.metainfo.info.name} in the DHT and on the cable",
        )

    def said(self, torrent: Sample) -> list[Spoken]:
        """What our client said to peers of the torrent; after the recording."""
        return [spoken for spoken in self.recorder.spoken(self.here.v4) if spoken.info_hash == torrent.info_hash]


@contextmanager
def a_scene(place: Path, **settings: object) -> Iterator[Scene]:
    """Both computers; at the end of the block the recording ends, and can be read."""
    with joined_hosts() as (here, there), ExitStack() as recorded:
        port = there.run(lambda: free_port(there.v4))
        recorder = here.run(lambda: recorded.enter_context(Recorder()))
        client = here.run(
            lambda: make_client(
                place, here.v4, encryption="off", dht_bootstrap=(f"{there.v4}:{port}",), **settings
            ).__enter__()
        )
        recorded.callback(lambda: here.run(client.close))

        def start() -> LibtorrentDht:
            program = LibtorrentDht(there.v4, port=port, encryption="off", settings=EVERYTHING)
            return there.run(lambda: recorded.enter_context(program))

        yield Scene(here, there, client, recorder, start, place)


def assert_all_was_said(spoken: list[Spoken]) -> None:
    """To peers of a public torrent: that we have a node, where it is, and that we exchange peers."""
    assert spoken
    assert all(one.claims_dht for one in spoken)
    assert any(one.ports for one in spoken)
    assert all(b"ut_pex" in one.extensions for one in spoken)


def assert_nothing_was_said(spoken: list[Spoken]) -> None:
    """To peers of a private torrent, and they were told other things."""
    assert spoken
    for one in spoken:
        assert b"ut_metadata" not in one.extensions  # nor do they get the info dictionary from us
        assert b"lt_donthave" in one.extensions
        assert b"ut_pex" not in one.extensions
        assert not one.claims_dht
        assert not one.ports


def test_nothing_names_a_private_torrent(tmp_path: Path) -> None:
    """W32: neither the DHT nor the cable, no PORT, no ut_pex, while it is downloaded and afterwards."""
    with a_scene(tmp_path) as scene:
        private = scene.make("private")
        public, last = (scene.make(name, private=False) for name in ("public", "last"))
        theirs = scene.start()
        for sample in (private, public, last):
            theirs.add(sample.data, tmp_path / "seed")
        ours = [scene.client.add(sample.data) for sample in (private, public)]
        for torrent in ours:
            torrent.add_peers([theirs.address])
            torrent.download_all()
            finished(torrent)
        scene.wait_until_named(public)
        scene.client.add(last.data).download_all()  # what is sought after the others has its turn after them
        scene.wait_until_named(last)
        assert scene.named(private) == (False, False)
    assert scene.named(private) == (False, False)
    assert_all_was_said(scene.said(public))
    assert_nothing_was_said(scene.said(private))


def test_a_magnet_link_that_turns_private_is_named_no_more(tmp_path: Path) -> None:
    """W32: it has its metadata before the DHT has anybody; then a public one is sought there, and it is not."""
    with a_scene(tmp_path) as scene, ExitStack() as teachers:
        private, public = scene.make("turns private"), scene.make("public", private=False)
        content = content_in(private.metainfo.info, tmp_path / "seed")
        teacher = ScriptedPeer(greeted(serving(right)), private.metainfo, host=scene.there.v4, content=content)
        scene.there.run(lambda: teachers.enter_context(teacher))
        torrent = scene.client.add(str(Magnet.of(private.metainfo)))
        until(
            lambda: scene.named(private)[1], what="the link's hash on the cable"
        )  # nobody knows yet that it is private
        torrent.add_peers([teacher.address])
        assert torrent.got_info.wait(30)
        teachers.close()
        begin = len(scene.recorder.datagrams)
        theirs = scene.start()
        for sample in (private, public):
            theirs.add(sample.data, tmp_path / "seed")
        torrent.add_peers([theirs.address])
        torrent.download_all()
        finished(torrent)
        other = scene.client.add(public.data)
        other.download_all()
        finished(other)
        scene.wait_until_named(public)
        time.sleep(SECOND)
    later = b"".join(datagram.payload.lower() for datagram in scene.recorder.datagrams[begin:])
    assert private.info_hash.hex().encode() not in later
    assert not scene.named(private)[0]
    spoken = scene.said(private)
    before = [one for one in spoken if one.to == tuple(teacher.address)]
    assert any(b"ut_pex" in one.extensions for one in before)
    assert_nothing_was_said([one for one in spoken if one not in before])
    assert_all_was_said(scene.said(public))


def test_a_link_may_be_taken_for_private_from_the_first(tmp_path: Path) -> None:
    """Config.assume_private: nothing names it before its metadata is there either."""
    with a_scene(tmp_path, assume_private=True) as scene, ExitStack() as teachers:
        private, public = scene.make("unknown"), scene.make("public", private=False)
        theirs = scene.start()
        theirs.add(public.data, tmp_path / "seed")
        torrent = scene.client.add(str(Magnet.of(private.metainfo)))
        scene.client.add(public.data).download_all()
        scene.wait_until_named(public)
        content = content_in(private.metainfo.info, tmp_path / "seed")
        teacher = ScriptedPeer(greeted(serving(right)), private.metainfo, host=scene.there.v4, content=content)
        scene.there.run(lambda: teachers.enter_context(teacher))
        torrent.add_peers([teacher.address])
        assert torrent.got_info.wait(30)
        torrent.download_all()
        finished(torrent)
    assert scene.named(private) == (False, False)
    assert_all_was_said(scene.said(public))
    spoken = scene.said(private)
    assert spoken
    for one in spoken:
        assert b"ut_pex" not in one.extensions
        assert not one.claims_dht
        assert not one.ports
