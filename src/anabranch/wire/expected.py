"""What a peer owes us: the blocks we asked it for, in the order in which we asked, and where they belong.

Kept in runs of blocks of one piece. Peers mostly answer in order, so that blocks leave at the front; one that comes out
of order, is rejected or withdrawn is cut out of its run. Whether to ask, and whom, is not decided here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice

from .events import ExpectedRun
from .ranges import joined_headers

HEADER = 13  # bytes before each block on the wire

# Cancelled blocks we remember. Without the fast extension a peer may never answer them, so the oldest are forgotten;
# one that comes after all is then unexpected, which costs as little.
MAX_CANCELLED = 4096


class Run:
    """Blocks *at* to *end* (a window) of what was asked for at once.

    Attributes:
        begin: Where in the piece the first block that was asked for begins (block 0, not block *at*).
        block: Length of every block but perhaps the last.
        views: Where each block belongs.
        headers: What will come before each block, 13 bytes a block.
        token: The owner's word for it.
    """

    __slots__ = ("at", "begin", "block", "end", "headers", "piece", "token", "views")

    def __init__(self, piece: int, begin: int, views: Sequence[memoryview], token: object) -> None:
        self.piece = piece
        self.begin = begin
        self.block = len(views[0])
        length = sum(map(len, views))
        if not 0 < len(views[-1]) <= self.block or length != (len(views) - 1) * self.block + len(views[-1]):
            raise ValueError("blocks of one length, and a last one that may be shorter, are asked for at once")
        self.views = views
        self.headers = joined_headers(piece, begin, length, self.block)
        self.token = token
        self.at = 0
        self.end = len(views)

    def rear(self, at: int) -> Run:
        """A run of the blocks from *at* on."""
        rear = Run.__new__(Run)
        rear.piece, rear.begin, rear.block, rear.token = self.piece, self.begin, self.block, self.token
        rear.views, rear.headers = self.views, self.headers
        rear.at, rear.end = at, self.end
        return rear

    def begin_of(self, block: int) -> int:
        """Where in the piece a block begins."""
        return self.begin + block * self.block

    def length_of(self, start: int, end: int) -> int:
        """Length in bytes of the blocks *start* to *end*."""
        if end < len(self.views) or start == end:
            return (end - start) * self.block
        return (end - start - 1) * self.block + len(self.views[-1])

    def as_expected(self) -> ExpectedRun:
        """The run in the owner's words."""
        return ExpectedRun(self.piece, self.begin_of(self.at), self.length_of(self.at, self.end), self.token)


class Expected:
    """The runs a peer owes, first due first, and the cancelled blocks that may still come.

    Attributes:
        runs: For reading only.
        outstanding: Blocks in the runs.
        cancelled: Blocks cancelled and not answered yet.
    """

    __slots__ = ("_by_piece", "_cancelled", "cancelled", "outstanding", "runs")

    def __init__(self) -> None:
        self.runs: deque[Run] = deque()
        self.outstanding = 0
        self.cancelled = 0
        self._by_piece: dict[int, list[Run]] = {}
        self._cancelled: OrderedDict[tuple[int, int], int] = OrderedDict()  # (piece, begin) -> how many times

    def add(self, run: Run) -> None:
        """Expect a run behind all others."""
        self.runs.append(run)
        self._by_piece.setdefault(run.piece, []).append(run)
        self.outstanding += run.end - run.at

    def arrived(self, count: int) -> None:
        """The first *count* blocks of the first run are no longer due."""
        self._cut(self.runs[0], self.runs[0].at, self.runs[0].at + count)

    def take(self, piece: int, begin: int, length: int) -> tuple[memoryview, object] | None:
        """Stop to expect one block, wherever it stands: where it belongs and its token, None if it is not expected."""
        for run in self._by_piece.get(piece, ()):
            block, odd = divmod(begin - run.begin, run.block)
            if not odd and run.at <= block < run.end and len(run.views[block]) == length:
                self._cut(run, block, block + 1)
                return run.views[block], run.token
        return None

    def withdraw(self, piece: int, begin: int, length: int) -> list[tuple[int, int, int]]:
        """Turn every expected block that has a byte in this stretch into a cancelled one.

        Returns:
            The stretches of whole blocks concerned: begin, length, length of a block.
        """
        withdrawn = []
        for run in list(self._by_piece.get(piece, ())):
            first = max(run.at, (begin - run.begin) // run.block)
            end = min(run.end, -((run.begin - begin - length) // run.block))
            if first < end and begin < run.begin_of(end - 1) + len(run.views[end - 1]):
                withdrawn.append((run.begin_of(first), run.length_of(first, end), run.block))
                for block in range(first, end):
                    self._remember((piece, run.begin_of(block)))
                self._cut(run, first, end)
        return withdrawn

    def answered(self, piece: int, begin: int) -> bool:
        """Whether this block was cancelled; the peer has now answered it."""
        times = self._cancelled.pop((piece, begin), 0)
        if times == 0:
            return False
        if times > 1:
            self._cancelled[piece, begin] = times - 1
        self.cancelled -= 1
        return True

    def leftovers(self) -> list[ExpectedRun]:
        """What is still due, in the order in which it was asked for."""
        return [run.as_expected() for run in self.runs]

    def latest(self, count: int) -> list[ExpectedRun]:
        """The last *count* runs that are still due, the latest first."""
        return [run.as_expected() for run in islice(reversed(self.runs), count)]

    def clear(self) -> None:
        """Expect nothing, remember nothing."""
        self.runs.clear()
        self._by_piece.clear()
        self._cancelled.clear()
        self.outstanding = self.cancelled = 0

    def _remember(self, block: tuple[int, int]) -> None:
        self._cancelled[block] = self._cancelled.get(block, 0) + 1
        self.cancelled += 1
        if len(self._cancelled) > MAX_CANCELLED:
            self.cancelled -= self._cancelled.popitem(last=False)[1]

    def _cut(self, run: Run, start: int, end: int) -> None:
        """Take blocks out of a run's window; in the middle that leaves two runs."""
        self.outstanding -= end - start
        if start == run.at and end == run.end:
            if self.runs[-1] is run:  # what is taken back is mostly the last
                self.runs.pop()
            else:
                self.runs.remove(run)  # finds the first at once, and that is what arrives
            of_piece = self._by_piece[run.piece]
            of_piece.remove(run)
            if not of_piece:
                del self._by_piece[run.piece]
        elif start == run.at:
            run.at = end
        elif end == run.end:
            run.end = start
        else:
            rear = run.rear(end)
            run.end = start
            self.runs.insert(self.runs.index(run) + 1, rear)
            self._by_piece[run.piece].append(rear)
