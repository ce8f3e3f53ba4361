"""What the engine does when a disk says no: the torrent stops asking and serving, says why, and is tried again.

Nothing else stops: peers stay connected, other torrents go on. What failed is kept and repeated every RETRY_EVERY
seconds where memory allows; when all of it goes through, the torrent is live again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import TypeVar

from anabranch.model import StorageFailed, TorrentError

from . import announcing, claiming, events
from .asking import take_back_all
from .engine import Engine, Work
from .privacy import stop_seeking
from .stage import Closing, Dropped, Failed, Moving, follow
from .state import TorrentState
from .unchoking import choke_everybody

T = TypeVar("T")

RETRY_EVERY = 10.0  # seconds


def attempt(
    engine: Engine,
    torrent: TorrentState,
    job: Callable[[], T],
    settle: Callable[[T], None],
    again: Callable[[], None] | None = None,
    *,
    worker: Work | None = None,
    refused: Callable[[], object] | None = None,
) -> None:
    """Have a worker do something on the torrent's disk after this turn, and settle the outcome in a turn.

    Args:
        engine: The engine.
        torrent: Whose disk it is.
        job: Runs on a worker, outside of turns; may raise StorageFailed.
        settle: Gets the result within a turn of the network thread.
        again: What to do, within a turn, when the torrent is tried anew after a failure of this job.
        worker: Who does it; the disk workers unless told otherwise.
        refused: What to put right, within a turn, when it failed, before the torrent fails.
    """
    repeated = isinstance(torrent.stage, Failed)  # the torrent is not live again before this is through
    lodging = torrent.disk.lodging
    torrent.disk.trying += repeated
    lodging.jobs += 1

    def ended() -> None:
        torrent.disk.trying -= repeated
        lodging.jobs -= 1
        if not lodging.jobs and lodging.quiet is not None:
            lodging.quiet()

    def settled(result: T) -> None:
        ended()
        settle(result)

    def broken(error: TorrentError) -> None:
        ended()
        if refused is not None:
            refused()
        fail(engine, torrent, error, again)

    def failed(error: BaseException) -> None:
        engine.network.run(broken, in_words(torrent, error))

    def done(result: T) -> None:
        engine.network.run(settled, result)

    engine.turn.outbox("job", job, (worker or engine.workshop.disk).submit, job, done, failed, torrent.owner)


def in_words(torrent: TorrentState, error: BaseException) -> TorrentError:
    """What a job on the torrent's disk raised, as an error of ours: a back end may let the system's own through."""
    if isinstance(error, TorrentError):
        return error
    if isinstance(error, OSError):
        return StorageFailed.from_os(error, torrent.data_path)
    # A mistake, ours or the back end's; the worker logged it, the torrent stops over it.
    return StorageFailed(torrent.data_path, f"unexpected {type(error).__name__}: {error}")


def fail(engine: Engine, torrent: TorrentState, error: TorrentError, again: Callable[[], None] | None = None) -> None:
    """The torrent's disk failed: stop asking and serving, remember what to repeat. Any other error is for good."""
    before = torrent.stage
    if isinstance(before, Failed) and before.retry_at == inf:
        return  # nothing can be worse
    if isinstance(before, Closing | Dropped):
        if isinstance(error, StorageFailed):
            engine.tell(events.Failed(torrent.info_hash, error))
        return
    if again is not None:
        torrent.disk.again.append(again)
    if not isinstance(error, StorageFailed):  # a disk may be mended; a torrent that contradicts itself will not
        fail_for_good(engine, torrent, error)
        return
    if isinstance(before, Moving):  # it is repeated when the files have arrived
        torrent.stage = follow(before, replace(before, error=error))
        return
    torrent.stage = follow(before, Failed(error, engine.clock() + RETRY_EVERY))
    engine.due.lively.add(torrent)
    if isinstance(before, Failed):
        if str(before.error) != str(error):
            engine.tell(events.Failed(torrent.info_hash, error))
        return
    stop(engine, torrent)
    engine.tell(events.Failed(torrent.info_hash, error))
    engine.tell(events.StageChanged(torrent.info_hash, "failed"))


def fail_for_good(engine: Engine, torrent: TorrentState, error: TorrentError) -> None:
    """Nothing can be made of the torrent: it leaves its swarm, and who waits for it is told."""
    before = torrent.stage
    torrent.stage = follow(before, Failed(error, inf))
    stop(engine, torrent)
    announcing.stop(engine, torrent)
    stop_seeking(engine, torrent)
    for signal in (torrent.signals.got_info, torrent.signals.checked, torrent.signals.complete):
        if not signal.is_set:
            engine.turn.outbox("signal fail", signal, signal.fail, error)
    for peer in torrent.swarm.peers.values():
        engine.turn.outbox("close", peer, engine.network.call, peer.link.close, "the torrent cannot be used")
    engine.tell(events.Failed(torrent.info_hash, error, final=True))
    if not isinstance(before, Failed):
        engine.tell(events.StageChanged(torrent.info_hash, "failed"))


def stop(engine: Engine, torrent: TorrentState) -> None:
    """Ask and serve no more. Readers look what has become of the torrent."""
    claiming.stop(engine, torrent, "stopped")
    for peer in torrent.swarm.peers.values():
        take_back_all(engine, peer)
    choke_everybody(engine, torrent)
    for waiting in [signal for signals in torrent.signals.of_piece.values() for signal in signals]:
        engine.turn.outbox("signal", waiting, waiting.set)
