"""The turn: the one lock of the engine, a mutex with deferred actions. Who holds it owns all engine state.

The rules are in the project's design notes ("The turn"). In short: state changes in plain functions under the turn;
what a change makes due in the state is deferred and runs before the release; what must reach the world goes to the
outbox and runs after it. Nobody waits, joins or does I/O while holding it.

Left out: recursion (an error here), readers beside writers, and any second way to take it. An exception that a signal
handler throws (KeyboardInterrupt in a main thread) may strike anywhere; taking, waiting and settling give the turn
back then, but no Python code can guard the instant before `__exit__` begins: a handler that only sets a flag is safe.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import get_ident
from types import FrameType, TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from anabranch.model import Misused

from .effects_io import Action, Effect, Effects, Post

T = TypeVar("T")
Key: TypeAlias = tuple[str, int]  # kind of action, identity of its target
Due: TypeAlias = tuple[Key, object, Action, tuple[Any, ...]]  # key, target (kept alive), action, its arguments

SLOW_TURN = 0.050  # seconds; a longer turn is logged: everybody waited for it
SLICE = 4096  # items of long work in one turn; some 2 us each make 8 ms
MAX_REPEATS = 64  # times that deferred actions may bring back one key in a turn: more is a cycle
MAX_FOLLOW_UPS = 100_000  # actions that deferred actions may add in a turn: a cycle over ever new targets ends here

_OWNER = "owner"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LockDebug:
    """Who holds the turn. Read without taking it, so the fields may belong to two neighbouring instants."""

    enabled: bool
    held: bool = False
    owner: str = ""  # name of the thread
    owner_id: int = 0
    held_for: float = 0.0  # seconds
    deferred: int = 0
    waiting: int = 0
    stack: str = ""  # where the turn was taken, innermost call last


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a holder that leaves the turn for a while takes with it: see Turn.leave()."""

    deferred: list[Due]
    pending: set[Key]
    outbox: dict[Key, Effect]
    held_for: float


class _Waiter:
    __slots__ = ("gate", "ident")

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.gate = threading.Lock()
        self.gate.acquire()


class _Rest(Generic[T]):
    """Long work that is done in slices, and how far it has come (the iterator knows)."""

    __slots__ = ("action", "items", "key", "size", "target")

    def __init__(self, key: Key, target: object, items: Iterator[T], action: Callable[[T], object], size: int) -> None:
        self.key = key
        self.target = target
        self.items = items
        self.action = action
        self.size = size


class _IfFree:
    __slots__ = ("_taken", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._taken = False

    def __enter__(self) -> bool:
        self._taken = self._turn.take_if_free()
        return self._taken

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._taken:
            self._turn.__exit__(kind, error, trace)


class Turn:
    """`with turn:` takes it, however long that takes, and always releases it.

    Fair: threads wait in line, and the turn is handed to the first of them, past whom nobody gets. Only the network
    thread goes before: it gets every second turn while it waits. Taking it again on the same thread raises Misused.

    Args:
        clock: Seconds, for telling how long turns last.

    Attributes:
        taken: Turns taken so far.
        slow: Those of them that lasted longer than SLOW_TURN.
    """

    __slots__ = (
        "_clock",
        "_deferred",
        "_effects",
        "_line",
        "_network",
        "_network_line",
        "_notes",
        "_outbox",
        "_pending",
        "_settling",
        "_since",
        "_slices",
        "_slot",
        "slow",
        "taken",
    )

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        # The lock itself: setdefault() is one atomic step, and tells at every instant, also to an interrupted
        # thread, whose the turn is. It is empty only while nobody waits.
        self._slot: dict[str, int] = {}
        self._line: deque[_Waiter] = deque()  # only the holder takes out
        self._network_line: deque[_Waiter] = deque()  # of one at most
        self._network = 0
        self._clock = clock
        self._since = 0.0
        self._deferred: list[Due] = []
        self._pending: set[Key] = set()  # keys in _deferred that have not run
        self._settling = False
        self._outbox: dict[Key, Effect] = {}
        self._effects = Effects()
        self._notes: deque[tuple[Action, tuple[Any, ...]]] = deque()
        self._slices: dict[Key, _Rest[Any]] = {}
        self.taken = 0
        self.slow = 0

    def network_thread_is(self, ident: int) -> None:
        """Say which thread goes first: the engine's own. It may not wait on conditions either."""
        self._network = ident

    def slices_run_by(self, post: Post) -> None:
        """Give the way to the network thread, for example loop.call_soon_threadsafe: slices run there, a turn each."""
        self._effects.post = post

    @property
    def held_by_me(self) -> bool:
        """Whether the calling thread holds the turn."""
        return self._slot.get(_OWNER) == get_ident()

    @property
    def owner(self) -> int | None:
        """The thread that holds the turn, if any, as it was a moment ago."""
        return self._slot.get(_OWNER)

    @property
    def waiting(self) -> list[int]:
        """The threads that wait, in the order in which they would get the turn if nobody else came."""
        return [waiter.ident for line in (self._network_line, self._line) for waiter in tuple(line)]

    # Taking and releasing

    def __enter__(self) -> Turn:
        me = get_ident()
        slot = self._slot
        if slot.get(_OWNER) == me:
            raise Misused("this thread has the turn already: an inner function must not take it")
        try:
            if slot.setdefault(_OWNER, me) != me:
                self._wait(me)
            self._begin()
        except BaseException:
            if slot.get(_OWNER) == me:
                self._release(me)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ran = self._deferred
        failures: list[BaseException] | None = None
        try:
            if ran:
                failures = self._settle()
            if self._outbox:
                self._effects.queue.extend(self._outbox.values())  # while held: so turns and effects have one order
                self._outbox.clear()
            lasted = self._clock() - self._since
            slow = lasted > SLOW_TURN
            self.slow += slow
        finally:
            self._release(get_ident())
        if slow:
            self._tell_slow(lasted, ran, sys._getframe(1))
        if self._effects.queue:
            self._effects.drain(at_home=get_ident() == self._network)
        if failures:
            self._answer_for(failures, error)

    def if_free(self) -> _IfFree:
        """`with turn.if_free() as taken:` takes the turn if nobody has it, and says whether it did; for polls.

        Raises:
            Misused: this thread has the turn.
        """
        return _IfFree(self)

    def take_if_free(self) -> bool:
        """The first half of if_free(); whoever gets True must call __exit__()."""
        me = get_ident()
        slot = self._slot
        if slot.get(_OWNER) == me:
            raise Misused("this thread has the turn already")
        if slot.setdefault(_OWNER, me) != me:
            return False
        try:
            self._begin()
        except BaseException:
            self._release(me)
            raise
        return True

    def _begin(self) -> None:
        self._since = self._clock()
        self.taken += 1
        if self._notes:
            self._heed_notes()

    def _wait(self, me: int) -> None:
        """Stand in line until the turn is ours.

        A thread that a signal handler interrupts keeps its place and raises when its turn has come: to leave the line
        could cross with being handed the turn, and turns are short.
        """
        line = self._network_line if me == self._network else self._line
        waiter = _Waiter(me)
        in_line = False
        interrupted: BaseException | None = None
        while True:
            try:
                if not in_line:
                    in_line = True
                    line.append(waiter)
                while self._slot.setdefault(_OWNER, me) != me:  # it may have become free before we stood in line
                    waiter.gate.acquire()
                break
            except BaseException as stop:  # noqa: BLE001 - raised below, when the turn is ours to give back
                interrupted = stop
        line.remove(waiter)
        if interrupted is not None:
            raise interrupted

    def _release(self, me: int) -> None:
        slot = self._slot
        while True:
            line = self._network_line or self._line
            if line:
                waiter = line[0]  # takes itself out
                slot[_OWNER] = waiter.ident
                waiter.gate.release()
                return
            del slot[_OWNER]
            # Somebody may have come into the line since we looked, and not found the slot free.
            if not (self._network_line or self._line) or slot.setdefault(_OWNER, me) != me:
                return

    def leave(self) -> Unfinished:
        """Release in the middle of a change, for a condition's wait: nothing deferred runs, it stays the holder's.

        Raises:
            Misused: not held, called by a deferred action, or on the network thread, which must not wait.
        """
        me = get_ident()
        if self._slot.get(_OWNER) != me:
            raise Misused("waiting on a condition takes the turn")
        if self._settling or me == self._network:
            raise Misused("neither a deferred action nor the network thread may wait")
        unfinished = Unfinished(self._deferred, self._pending, self._outbox, self._clock() - self._since)
        self._deferred, self._pending, self._outbox = [], set(), {}
        self._release(me)
        return unfinished

    def come_back(self, unfinished: Unfinished) -> None:
        """Take the turn back after leave(). However often it is interrupted, it is taken when this ends."""
        me = get_ident()
        interrupted: BaseException | None = None
        while self._slot.setdefault(_OWNER, me) != me:
            try:
                self._wait(me)
            except BaseException as stop:  # noqa: BLE001 - raised below: the caller's `with` releases only what is held
                interrupted = stop
        self._deferred, self._pending, self._outbox = unfinished.deferred, unfinished.pending, unfinished.outbox
        self._since = self._clock() - unfinished.held_for
        if interrupted is not None:
            raise interrupted

    # What is due before and after the release

    def defer(self, kind: str, target: object, action: Action, *args: Any) -> None:
        """Have *action(\\*args)* run before the turn is released, first in, first out.

        Once per (kind, target) while it is pending: the first asked for is the one that runs. Actions may defer more,
        also what has run already. All run, whatever some raise; the first error is raised to the holder after the
        release, and so is Misused when they bring each other back without end.

        Raises:
            Misused: this thread does not have the turn.
        """
        if self._slot.get(_OWNER) != get_ident():
            raise Misused(f"{kind!r} can be deferred only by who has the turn")
        key = (kind, id(target))
        if key not in self._pending:
            self._pending.add(key)
            self._deferred.append((key, target, action, args))

    def outbox(self, kind: str, target: object, action: Action, *args: Any) -> None:
        """Have *action(\\*args)* run after the release, once per (kind, target) in this turn, in the order of turns.

        The releasing thread runs it, or another that is at it already: not always before `with` ends. It may take
        turns. What it raises is logged. It runs also where the body raised: what was changed by then is changed.

        Raises:
            Misused: this thread does not have the turn.
        """
        if self._slot.get(_OWNER) != get_ident():
            raise Misused(f"{kind!r} can be put in the outbox only by who has the turn")
        key = (kind, id(target))
        if key not in self._outbox:
            self._outbox[key] = (kind, target, action, args)

    def note(self, action: Action, *args: Any) -> None:
        """Have *action(\\*args)* run at the beginning of the next turn, whoever takes it. Never waits.

        For finalisers and signal handlers, which may come at any instant, in any thread. What it raises is logged.
        """
        self._notes.append((action, args))

    def _heed_notes(self) -> None:
        for _ in range(len(self._notes)):
            action, args = self._notes.popleft()
            try:
                action(*args)
            except Exception as error:  # bulkhead: no fault of who takes the turn; logged after it  # noqa: BLE001
                name = getattr(action, "__qualname__", repr(action))
                self.outbox("note failed", error, partial(log.error, "note failed action=%s", name, exc_info=error))

    def _settle(self) -> list[BaseException]:
        """Run what was deferred. Gives back what was raised."""
        failures: list[BaseException] = []
        asked = len(self._deferred)
        repeats: dict[Key, int] = {}
        self._settling = True
        try:
            for count, (key, _target, action, args) in enumerate(self._deferred):  # it grows while we walk
                self._pending.discard(key)
                if count >= asked:
                    repeats[key] = again = repeats.get(key, 0) + 1
                    if again > MAX_REPEATS or count - asked >= MAX_FOLLOW_UPS:
                        kinds = _kinds(self._deferred[asked:count])
                        failures.append(Misused(f"deferred actions bring each other back without end: {kinds}"))
                        break
                try:
                    action(*args)
                except BaseException as error:  # noqa: BLE001 - the others still run, then the holder gets it
                    error.add_note(f"raised by the deferred action {key[0]!r}")
                    failures.append(error)
        finally:
            self._settling = False
            self._deferred = []
            self._pending.clear()
        return failures

    def _answer_for(self, failures: list[BaseException], error: BaseException | None) -> None:
        """Raise the first failure, unless the body raised (that is on its way already), and log the others."""
        logged = failures[1:] if error is None else failures
        for failure in logged:
            log.error("deferred action failed reason=%s", failure, exc_info=failure)
        if error is None:
            raise failures[0]

    def _tell_slow(self, lasted: float, ran: list[Due], frame: FrameType | None) -> None:
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        name = frame.f_code.co_qualname if frame else "?"
        log.warning("slow turn milliseconds=%.0f by=%s actions=%s", lasted * 1000, name, _kinds(ran) or "none")

    # Long work

    def sliced(
        self, kind: str, target: object, items: Iterable[T], action: Callable[[T], object], size: int = SLICE
    ) -> None:
        """Do *action* to *size* items now and to the rest in later turns, a slice each.

        Newer work of the same (kind, target) takes the place of the older rest. All items of a slice are done,
        whatever some raise; the first error is raised here for the first slice and logged for later ones. *items* is
        walked over many turns: hand in what does not change meanwhile.

        Raises:
            Misused: this thread does not have the turn.
        """
        if self._slot.get(_OWNER) != get_ident():
            raise Misused(f"{kind!r} can be sliced only by who has the turn")
        key = (kind, id(target))
        rest = self._slices[key] = _Rest(key, target, iter(items), action, size)
        self._do_slice(rest)

    def stop_sliced(self, kind: str, target: object) -> None:
        """Forget the rest of such work, if there is any.

        Raises:
            Misused: this thread does not have the turn.
        """
        if self._slot.get(_OWNER) != get_ident():
            raise Misused(f"{kind!r} can be stopped only by who has the turn")
        self._slices.pop((kind, id(target)), None)

    def _do_slice(self, rest: _Rest[Any]) -> None:
        done = 0
        first: BaseException | None = None
        try:
            for item in islice(rest.items, rest.size):
                done += 1
                try:
                    rest.action(item)
                except BaseException as error:  # noqa: BLE001 - the other items still get done, then it is raised
                    first = first or error
        finally:
            if self._slices.get(rest.key) is rest:
                if done < rest.size:
                    del self._slices[rest.key]
                else:
                    self.outbox("slice", rest, self._later, rest)
        if first is not None:
            raise first

    def _later(self, rest: _Rest[Any]) -> None:
        """Have the next slice done: on the network thread, or right here where there is none."""
        if self._effects.post is None:
            self._go_on(rest)
            return
        try:
            self._effects.post(partial(self._go_on, rest))
        except RuntimeError:  # the loop is closed, and the engine with it
            log.debug("slices dropped kind=%s", rest.key[0])

    def _go_on(self, rest: _Rest[Any]) -> None:
        try:
            with self:
                if self._slices.get(rest.key) is rest:
                    self._do_slice(rest)
        except Exception:  # bulkhead: who wanted this work is gone
            log.exception("slice failed kind=%s", rest.key[0])

    # For people: watch_io has the turn that answers

    def lock_debug_snapshot(self) -> LockDebug:
        """Who holds the turn: only the watched turn knows."""
        return LockDebug(enabled=False)

    def lock_debug_info(self) -> str:
        """The same in words."""
        return "lock debug is off; set TORRENT_LOCK_DEBUG=1 (or =stack) before the client is made"


def _kinds(actions: list[Due]) -> str:
    """What ran, the most frequent first: "requests:12 complete:1"."""
    counted = Counter(key[0] for key, *_ in actions)
    return " ".join(f"{kind}:{count}" for kind, count in counted.most_common(8))
