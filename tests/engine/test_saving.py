"""What is remembered between runs, and what is taken to another machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import decode, encode
from anabranch.engine.adding import make
from anabranch.engine.saving import partial_pieces, resume_data, take_resume
from anabranch.engine.state import Policy, TorrentState
from anabranch.engine.wanting import allow_download
from anabranch.metainfo import Magnet
from anabranch.model import BLOCK_SIZE, InputRefused, Priority
from anabranch.storage import MemoryStorage, SessionKey, SessionStore
from engine.clocks import Clock
from engine.remotes import Remote, half_written
from engine.rig import Node, run
from engine.samples import Faults, PlainStorage, Sample, sample

CONTENT = sample(files=(70_000, 70_000, 5), blocks=4)


def unknown(content: Sample = CONTENT) -> TorrentState:
    node = Node(Clock())
    key = SessionKey(content.info_hash, "/else")
    return make(content.metainfo, key, MemoryStorage(), node.engine, node.forbidden, Policy())


def half_done() -> tuple[Node, TorrentState]:
    """Some pieces are complete, one is begun and on disk."""
    node = Node(clock := Clock())
    torrent = node.add(CONTENT, PlainStorage(), want=None)
    node.want(torrent, [Priority.HIGH, Priority.NORMAL, Priority.NONE])
    node.settle()
    remote = Remote(node, torrent, CONTENT, rate=6)
    run(clock, node, 1)
    remote.leave()
    run(clock, node, 8)
    return node, torrent


def test_resume_data_say_what_is_there() -> None:
    """Complete pieces, blocks on disk, priorities and totals come out as they went in."""
    node, torrent = half_done()
    with node.engine.turn:
        data = resume_data(torrent)
    assert partial_pieces(torrent)
    other = unknown()
    assert take_resume(other, data) == torrent.pieces.complete
    assert other.worth.of_file == [Priority.HIGH, Priority.NORMAL, Priority.NONE]
    assert other.disk.partial == partial_pieces(torrent)
    assert other.totals.downloaded == torrent.totals.downloaded == 6 * BLOCK_SIZE


def test_resume_data_vouch_only_for_what_is_recorded() -> None:
    """What is verified and not yet durable may be gone after a loss of power."""
    node = Node(Clock())
    torrent = node.add(CONTENT, PlainStorage())
    node.settle()
    node.record.held = True
    Remote(node, torrent, CONTENT)
    node.settle()
    assert torrent.pieces.is_seed
    torrent.disk.unrecorded.append(0)
    with node.engine.turn:
        vouched = take_resume(unknown(), resume_data(torrent))
    assert not vouched[0]


@pytest.mark.parametrize(
    "change",
    [
        {b"format": b"another"},
        {b"info hash": bytes(20)},
        {b"complete": b""},
        {b"complete": 5},
        {b"partial": []},
        {b"partial": {b"x": b""}},
        {b"partial": {b"0": 7}},
        {b"priorities": 1},
        {b"priorities": [b"1"]},
        {b"uploaded": -1},
        {b"downloaded": b"much"},
        {b"added": None},
    ],
)
def test_resume_data_that_are_wrong_are_refused(change: dict[bytes, object]) -> None:
    """With one error, whatever is wrong with them; and nothing is taken over."""
    node, torrent = half_done()
    with node.engine.turn:
        said = decode(resume_data(torrent))
    assert isinstance(said, dict)
    changed = {key: value for key, value in {**said, **change}.items() if value is not None}
    other = unknown()
    with pytest.raises(InputRefused):
        take_resume(other, encode(changed))
    assert other.totals.downloaded == 0
    assert not other.disk.partial


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_resume_data_or_refused(noise: bytes) -> None:
    """InputRefused and nothing else."""
    with suppress(InputRefused):
        take_resume(unknown(), noise)


def test_resume_data_of_another_number_of_files_keep_the_priorities_of_now() -> None:
    """They are of no use; the rest is."""
    node, torrent = half_done()
    with node.engine.turn:
        said = decode(resume_data(torrent))
    assert isinstance(said, dict)
    other = unknown()
    take_resume(other, encode({**said, b"priorities": [1]}))
    assert other.worth.of_file == [Priority.NONE] * 3


def test_a_run_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    """Priorities, permissions and totals; saved within a tick of the change."""
    sessions = SessionStore(tmp_path)
    node = Node(Clock(), sessions=sessions)
    torrent = node.add(CONTENT, PlainStorage(), want=None)
    node.want(torrent, [Priority.HIGH, Priority.NONE, Priority.NONE])
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    node.settle()
    torrent.totals.uploaded = 77
    node.tick()
    node.settle()
    assert torrent.disk.claim is not None
    torrent.disk.claim.release()  # as if the process had been killed
    again = Node(Clock(), 2, sessions=sessions).add(CONTENT, PlainStorage(), want=None)
    assert again.worth.of_file == [Priority.HIGH, Priority.NONE, Priority.NONE]
    assert not again.policy.download
    assert again.policy.upload
    assert again.totals.uploaded == 77


def test_a_session_store_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torrent goes on; the totals may be late."""
    sessions = SessionStore(tmp_path)
    node = Node(Clock(), sessions=sessions)
    torrent = node.add(CONTENT, PlainStorage())
    node.settle()
    faults = Faults()
    save = sessions.save_all

    def failing(*args: object) -> None:
        faults.meet("save")
        save(*args)  # type: ignore[arg-type]  # as its

    monkeypatch.setattr(sessions, "save_all", failing)
    faults.at("save", 1)
    node.tick()
    node.settle()
    assert torrent.disk.dirty
    node.tick()
    node.settle()
    assert not torrent.disk.dirty
    assert sessions.torrents()


def test_blocks_that_are_just_being_written_are_not_remembered() -> None:
    """They may not be there when the power goes."""
    node, _, torrent = half_written(CONTENT)
    assert torrent.holding.writing
    assert partial_pieces(torrent) == {}
    node.disk.held = False
    node.settle()
    assert partial_pieces(torrent)


def test_resume_data_of_a_link_keep_the_wish_and_those_of_pieces_need_the_torrent_file() -> None:
    """A link does not tell what the pieces are that the data speak of; that is said in words."""
    link = Magnet.of(CONTENT.metainfo)
    torrent, other = Node(Clock()).learn(link), Node(Clock()).learn(link, want=False)
    take_resume(other, resume_data(torrent))
    assert other.worth.when_known
    with pytest.raises(InputRefused, match=r"with the \.torrent file"):
        take_resume(other, resume_data(half_done()[1]))
