"""Taking a torrent's files to another directory, and giving them other names, while its peers stay connected.

Nothing is asked or served meanwhile, readers wait. When what was begun on the storage has ended, that is closed, a
worker of its own does what the wishes say (residence_io.py), and the storage is opened where the files are then. What
is known of the pieces is as true as before, so nothing is hashed. What fails is taken back, and the torrent goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from bitarray import bitarray

from anabranch.metainfo import Info
from anabranch.model import Closed, InputRefused, Misused, StorageFailed, TorrentError, no_pieces
from anabranch.storage import Bulk, Claim, Completion, Selects, TorrentStorage, renamed, session_key

from . import claiming, events, failing, resting
from .asking import take_back_all
from .checking import advance, queue_check
from .engine import Engine, Runner
from .finishing import spill
from .going_live import set_live
from .lodging import Wish
from .opening import open_storage
from .recording import record
from .residence_io import Residence, path_of
from .resyncing import GivenUp
from .signals_io import Signal
from .stage import Checking, Closing, Dropped, Failed, Live, Moving, Opening, follow
from .state import TorrentState
from .unchoking import choke_everybody
from .wanting import tell_storage

Names = Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Granted:
    """What became of the wishes: for each the error, None where it was granted; and the right to the torrent now."""

    errors: Sequence[TorrentError | None]
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Reopened:
    """The storage where the files are now, and what it knows to be complete."""

    storage: TorrentStorage
    complete: bitarray


def move(runner: Runner, torrent: TorrentState, directory: str) -> Signal:
    """Any thread but the engine's: have the files taken to another directory; see api.Torrent.move."""
    if runner.forbidden():
        raise Misused("move() waits for the disk: call it from a thread of your own, without the turn")
    home, sessions = _residence(torrent), runner.engine.workshop.sessions
    key, done = session_key(torrent.info_hash, directory), Signal(runner.forbidden)
    with runner.turn:
        _check_here(torrent)
        if key.data_path == torrent.data_path:
            _recall(runner.engine, torrent, home)
            _wish(runner.engine, torrent, Wish(done))
            return done
        leaves = isinstance(torrent.stage, Moving) and torrent.stage.leaves
        if leaves or any(wish.key is not None for wish in torrent.disk.lodging.wishes):
            raise InputRefused(f"{torrent.metainfo.info.name} is being moved already")
    claim = None
    if sessions is not None:
        claim = sessions.claim(key) if not home.occupies(key) else None
        if sessions.load(key) is not None:
            if claim is not None:
                claim.release()
            raise InputRefused(f"{torrent.metainfo.info.name} is remembered in {directory} already, apart from this")
    try:
        with runner.turn:
            _check_here(torrent)
            _wish(runner.engine, torrent, Wish(done, key=key, claim=claim))
            claim = None
    finally:
        if claim is not None:
            claim.release()
    return done


def rename(runner: Runner, torrent: TorrentState, names: Names) -> Signal:
    """Any thread: have files given other paths below their directory; see api.File.rename."""
    home, info, done = _residence(torrent), torrent.metainfo.info, Signal(runner.forbidden)
    with runner.turn:
        _check_here(torrent)
        wishes = list(torrent.disk.lodging.wishes)
        wish = Wish(done, names=names)
        renamed(info, home.expected(info, [*wishes, wish]))
        _wish(runner.engine, torrent, wish)
    return done


def rename_folder(runner: Runner, torrent: TorrentState, old: tuple[str, ...], new: tuple[str, ...]) -> Signal:
    """Any thread: have the files below a directory given paths below another; see api.Torrent.rename_folder."""
    home, info = _residence(torrent), torrent.metainfo.info
    with runner.turn:
        expected = home.expected(info, list(torrent.disk.lodging.wishes))
    paths = [expected.get(number) or file.path for number, file in enumerate(info.files)]
    names = {
        number: (*new, *path[len(old) :])
        for number, path in enumerate(paths)
        if path[: len(old)] == old and len(path) > len(old) and not info.files[number].pad
    }
    if not names:
        raise InputRefused(f"no file of {info.name} is below {'/'.join(old)!r}")
    return rename(runner, torrent, {number: path for number, path in names.items() if path != paths[number]})


def files_in(torrent: TorrentState) -> str:
    """The directory in which the torrent's files are at present."""
    home = torrent.disk.home
    return home.place.directory if isinstance(home, Residence) else torrent.data_path


def path_now(torrent: TorrentState, file: int) -> tuple[str, ...]:
    """What a file is called at present: its path below that directory."""
    return path_of(torrent.disk.home, torrent.metainfo.info, file)


def look(engine: Engine, torrent: TorrentState) -> None:
    """Network thread, within a turn: begin what is wished for, once it can be; go on when nothing is under way."""
    lodging = torrent.disk.lodging
    while lodging.wishes and lodging.wishes[0].nothing and not isinstance(torrent.stage, Moving):
        _answer(engine, torrent, lodging.wishes.popleft(), None)
    if lodging.wishes and isinstance(torrent.stage, Checking | Live | Failed):
        if isinstance(torrent.stage, Failed) and torrent.stage.retry_at == inf:
            _refuse_all(engine, torrent, torrent.stage.error)
            return
        _begin(engine, torrent)
    if isinstance(torrent.stage, Moving) and not torrent.stage.under_way and not lodging.jobs:
        _try_go(engine, torrent)


def give_up(engine: Engine, torrent: TorrentState, error: TorrentError) -> None:
    """Within a turn: the torrent ends. Who waits for a wish is told, and a move that is under way stops soon."""
    if isinstance(torrent.disk.home, Residence):
        torrent.disk.home.stopped = True
    _refuse_all(engine, torrent, error)


def _residence(torrent: TorrentState) -> Residence:
    home = torrent.disk.home
    if not isinstance(home, Residence):
        raise Misused("only what is stored in files can be moved and renamed, and not in a storage of one's own")
    return home


def _check_here(torrent: TorrentState) -> None:
    if isinstance(torrent.stage, Closing | Dropped):
        raise Closed("the torrent was dropped")


def _wish(engine: Engine, torrent: TorrentState, wish: Wish) -> None:
    torrent.disk.lodging.wishes.append(wish)
    engine.due.lively.add(torrent)
    engine.turn.outbox("move", torrent, engine.network.post, look, engine, torrent)


def _recall(engine: Engine, torrent: TorrentState, home: Residence) -> None:
    """The files shall stay where they belong: what would take them elsewhere is called off."""
    lodging = torrent.disk.lodging
    for wish in [wish for wish in lodging.wishes if wish.key is not None]:
        lodging.wishes.remove(wish)
        _refuse(engine, torrent, wish, Closed("the move was called back"))
    home.recalled = isinstance(torrent.stage, Moving) and torrent.stage.leaves


def _begin(engine: Engine, torrent: TorrentState) -> None:
    """Stop asking and serving, and have what is in memory written: others need the memory meanwhile."""
    before = torrent.stage
    torrent.stage = follow(before, Moving(before.error if isinstance(before, Failed) else None))
    engine.due.lively.add(torrent)
    engine.tell(events.StageChanged(torrent.info_hash, "moving"))
    claiming.stop(engine, torrent, "stopped")
    for peer in torrent.swarm.peers.values():
        take_back_all(engine, peer)
    choke_everybody(engine, torrent)
    if torrent.disk.storage is not None and not isinstance(before, Failed):
        for progress in list(torrent.pieces.begun.values()):
            spill(engine, torrent, progress)

    def quiet() -> None:
        engine.turn.defer("move", torrent, look, engine, torrent)

    torrent.disk.lodging.quiet = quiet


def _try_go(engine: Engine, torrent: TorrentState) -> None:
    """Every job on the storage has ended: see whether anything else is to come first."""
    disk, stage = torrent.disk, torrent.stage
    if not isinstance(stage, Moving):
        return
    if disk.rest.saving or any(peer.serving.reading for peer in torrent.swarm.peers.values()):
        return  # what saves under the old name, or reads for a peer, has ended by the next tick
    if disk.unrecorded and disk.storage is not None:
        record(engine, torrent)
    elif all(wish.nothing for wish in disk.lodging.wishes):  # the others were called off
        _resume(engine, torrent, stage)
    elif resting.is_awake(torrent):
        _go(engine, torrent)
    elif stage.error is None:
        resting.wake(engine, torrent, lambda: look(engine, torrent))
    else:
        _refuse_all(engine, torrent, stage.error)
        _resume(engine, torrent, stage)


def _go(engine: Engine, torrent: TorrentState) -> None:
    disk, lodging, home, info = torrent.disk, torrent.disk.lodging, _residence(torrent), torrent.metainfo.info
    wishes = list(lodging.wishes)
    lodging.wishes.clear()
    lodging.quiet = None
    storage, disk.storage = disk.storage, None
    lodging.opened = lodging.opened or storage is not None
    claim, home.recalled = disk.claim, False
    if isinstance(torrent.stage, Moving):
        leaves = any(wish.key is not None for wish in wishes)
        torrent.stage = follow(torrent.stage, replace(torrent.stage, under_way=True, leaves=leaves))

    def settle(granted: Granted) -> None:
        disk.claim = granted.claim
        torrent.data_path = home.key.data_path
        disk.dirty = True
        for wish, error in zip(wishes, granted.errors, strict=True):
            _answer(engine, torrent, wish, error)
        _arrive(engine, torrent, wishes, granted)

    def settle_error(error: BaseException) -> None:
        known = (
            error if isinstance(error, TorrentError) else TorrentError(f"unexpected {type(error).__name__}: {error}")
        )
        settle(Granted([known] * len(wishes), claim))

    def done(granted: Granted) -> None:
        engine.network.run(settle, granted)

    def failed(error: BaseException) -> None:
        engine.network.run(settle_error, error)

    worker = engine.workshop.moves or engine.workshop.record

    def job() -> Granted:
        return _grant_all(home, info, storage, wishes, claim)

    # A place for each: a copy that lasts for hours must hold up nobody.
    engine.turn.outbox("go", torrent, worker.submit, job, done, failed, (torrent, torrent))


def _grant_all(
    home: Residence, info: Info, storage: TorrentStorage | None, wishes: Sequence[Wish], claim: Claim | None
) -> Granted:
    """In a worker: let go of the storage, and grant one wish after the other."""
    if storage is not None:
        try:
            storage.flush()
        except StorageFailed as failed:
            return Granted([failed] * len(wishes), claim)
        finally:
            storage.close()
    errors: list[TorrentError | None] = []
    for wish in wishes:
        try:
            _check_claim(home, wish, claim)
            home.grant(info, wish)
            errors.append(None)
        except (StorageFailed, InputRefused, Closed) as failed:
            errors.append(failed)
        given_back = wish.claim
        if wish.key is not None and home.key == wish.key:
            claim, given_back = wish.claim or home.hand_over(), claim
        if given_back is not None and wish.key is not None:
            given_back.release()
    return Granted(errors, claim)


def _check_claim(home: Residence, wish: Wish, claim: Claim | None) -> None:
    """Nobody is known by a directory without the right to it, where rights are kept."""
    if wish.key is not None and claim is not None and wish.claim is None and not home.occupies(wish.key):
        raise InputRefused(f"{wish.key.data_path} was left meanwhile: move there again")


def _answer(engine: Engine, torrent: TorrentState, wish: Wish, error: TorrentError | None) -> None:
    """Tell what became of a wish."""
    if error is None:
        engine.turn.outbox("signal", wish.done, wish.done.set)
        if isinstance(torrent.disk.home, Residence) and not wish.nothing:
            directory = torrent.disk.home.place.directory
            engine.tell(events.Moved(torrent.info_hash, directory, tuple(wish.names)))
        return
    engine.turn.outbox("signal fail", wish.done, wish.done.fail, error)
    if not isinstance(torrent.stage, Closing | Dropped):
        engine.tell(events.MoveFailed(torrent.info_hash, error))


def _refuse(engine: Engine, torrent: TorrentState, wish: Wish, error: TorrentError) -> None:
    """A wish is not granted, and nothing was tried."""
    _answer(engine, torrent, wish, error)
    if wish.claim is not None:
        engine.turn.outbox("release", wish, wish.claim.release)


def _refuse_all(engine: Engine, torrent: TorrentState, error: TorrentError) -> None:
    lodging = torrent.disk.lodging
    lodging.quiet = None
    while lodging.wishes:
        _refuse(engine, torrent, lodging.wishes.popleft(), error)


def _arrive(engine: Engine, torrent: TorrentState, wishes: Sequence[Wish], granted: Granted) -> None:
    """The files are where they are: go on there."""
    stage, lodging = torrent.stage, torrent.disk.lodging
    if isinstance(stage, Closing):
        torrent.stage = replace(stage, opening=False)
        return
    if not isinstance(stage, Moving):
        return  # it failed for good
    stage = replace(stage, leaves=False)
    torrent.stage = follow(torrent.stage, stage)
    for wish, error in zip(wishes, granted.errors, strict=True):
        if wish.home and error is not None:  # nobody waits for it: it is tried again, like all that a disk refuses
            torrent.stage = replace(stage, error=error)
            torrent.disk.again.append(lodging.call_home)
    if lodging.opened:
        _reopen(engine, torrent)
        return
    torrent.stage = follow(torrent.stage, Opening())
    engine.tell(events.StageChanged(torrent.info_hash, "opening"))
    open_storage(engine, torrent)


def _reopen(engine: Engine, torrent: TorrentState) -> None:
    """Open the storage that was closed to be moved. What it has lost meanwhile is hashed; all else is as it was."""
    home, info = torrent.disk.home, torrent.metainfo.info
    selected = torrent.worth.selected()
    given_up = GivenUp(engine, torrent)

    def job() -> Reopened:
        storage = home.open(info, torrent.info_hash)
        try:
            given_up.listen(storage)
            if isinstance(storage, Selects):
                storage.select(selected)
            return Reopened(storage, _complete_in(storage, info.geometry.piece_count))
        except BaseException:
            storage.close()
            raise

    def settle(found: Reopened) -> None:
        stage = torrent.stage
        torrent.disk.storage = found.storage
        if isinstance(stage, Closing):
            torrent.stage = replace(stage, opening=False)
        if isinstance(stage, Closing | Dropped):
            return
        if torrent.worth.selected() != selected:  # chosen while the files moved
            tell_storage(engine, torrent)
        _doubt(engine, torrent, found.complete)
        for piece in [piece for piece in torrent.signals.of_piece if torrent.pieces.complete[piece]]:
            for waiting in torrent.signals.of_piece.pop(piece):
                engine.turn.outbox("signal", waiting, waiting.set)
        if isinstance(stage, Moving):
            _resume(engine, torrent, stage)
        given_up.look()

    def refused() -> None:
        stage = torrent.stage
        if isinstance(stage, Closing):
            torrent.stage = replace(stage, opening=False)
        elif isinstance(stage, Moving):
            torrent.stage = follow(stage, Opening())

    def again() -> None:
        _reopen(engine, torrent)

    failing.attempt(engine, torrent, job, settle, again, refused=refused)


def _complete_in(storage: TorrentStorage, count: int) -> bitarray:
    if isinstance(storage, Bulk):
        return storage.completions()[1]
    complete = no_pieces(count)
    for piece in range(count):
        complete[piece] = storage.piece(piece).completion() is Completion.COMPLETE
    return complete


def _doubt(engine: Engine, torrent: TorrentState, complete: bitarray) -> None:
    """Pieces that we had and the storage does not know of any more: somebody took a file away."""
    table = torrent.pieces
    lost = table.complete & ~complete
    for piece in (*torrent.disk.unrecorded, *torrent.disk.recording):
        lost[piece] = False
    if lost.any():
        queue_check(engine, torrent, lost)


def _resume(engine: Engine, torrent: TorrentState, stage: Moving) -> None:
    """Go on as before. What failed before is repeated at once, but a way home that is barred only after a while."""
    disk, lodging = torrent.disk, torrent.disk.lodging
    lodging.quiet = None
    if stage.error is not None and (disk.again or disk.storage is None):
        wait = failing.RETRY_EVERY if lodging.call_home in disk.again else 0.0
        torrent.stage = follow(stage, Failed(stage.error, engine.clock() + wait))
        engine.tell(events.Failed(torrent.info_hash, stage.error))
        engine.tell(events.StageChanged(torrent.info_hash, "failed"))
        failing.stop(engine, torrent)
        return
    if stage.error is not None:
        engine.tell(events.Recovered(torrent.info_hash))
    if disk.checks.left:
        torrent.stage = follow(stage, Checking(disk.checks.left))
        engine.tell(events.StageChanged(torrent.info_hash, "checking"))
        advance(engine, torrent)
    else:
        set_live(engine, torrent)
