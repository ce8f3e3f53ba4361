"""What every storage back end must do, whatever it keeps bytes in: checks to run against one, ours or a user's.

Needs no test framework: each check is called with a function that gives the back end, and raises ConformanceFailed,
which is an AssertionError. What is checked is the contract of anabranch.storage (backend.py), the optional abilities
against the plain calls. Speed, durability and what becomes of failures are not checked: for the last see FaultyStorage.

    @pytest.mark.parametrize("check", STORAGE_CHECKS, ids=str)
    def test_my_storage_conforms(check, tmp_path):
        check(lambda: MyStorage(tmp_path))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from anabranch.model import Closed, StorageFailed
from anabranch.storage import ClientStorage, Completion, Room, TorrentStorage

from .trial import TrialFile, TrialTorrent, lay, named

SPACE = 128 * 1024  # bytes that a storage of limited capacity must have room for: of small pieces, in whole blocks


class ConformanceFailed(AssertionError):
    """A back end does not keep the contract.

    Args:
        rule: What must be so.
        expected: What was due in the case at hand.
        came: What came instead.
    """

    def __init__(self, rule: str, expected: str, came: str) -> None:
        super().__init__(f"{rule}\n  expected: {expected}\n  came:     {came}")
        self.rule = rule
        self.expected = expected
        self.came = came


class Bench:
    """Where one check is done: it opens torrents, asks them, and says what was expected.

    Args:
        name: The check's; the torrents' names are made of it.
        rule: What is checked, in words.
        client: The back end.
        persistent: What was recorded must outlive close().
    """

    def __init__(self, name: str, rule: str, client: ClientStorage, *, persistent: bool) -> None:
        self._name = name
        self._rule = rule
        self._client = client
        self._opened: list[tuple[TorrentStorage, TrialTorrent]] = []
        self.persistent = persistent

    def odd(self, ending: str = "") -> TrialTorrent:
        """A torrent of 4 pieces with all that is odd: empty files, a piece of four files, padding, a short last one."""
        files = named("a", 100), named("no/bytes", 0), named("b", 9), named("c", 5)
        pad = TrialFile((".pad", "14"), 14, pad=True)
        return lay(self._name + ending, 64, *files, pad, named("d/e", 70), named("f", 31), named("nothing", 0))

    def apart(self, ending: str = "") -> TrialTorrent:
        """A torrent of 4 pieces in the manner of v2: files begin at pieces, and pieces end where files do."""
        return lay(self._name + ending, 64, named("a", 100), named("b", 64), named("c", 10), apart=True)

    def open(self, torrent: TrialTorrent) -> TorrentStorage:
        """Open a torrent; it is closed at the end, if not before."""
        storage = self._client.open(torrent, torrent.info_hash)
        self._opened.append((storage, torrent))
        return storage

    def expect(self, truth: bool, expected: str, came: object) -> None:
        """Fail unless it is so."""
        if not truth:
            raise ConformanceFailed(self._rule, expected, str(came))

    def same(self, came: object, expected: object, what: str) -> None:
        """Fail unless the two are equal."""
        self.expect(came == expected, f"{what}: {expected!r}", repr(came))

    def refuses(self, kind: type[BaseException], what: str, act: Callable[[], object]) -> BaseException:
        """Fail unless *act* raises that; the error."""
        try:
            answer = act()
        except kind as error:
            return error
        raise ConformanceFailed(self._rule, f"{what} raises {kind.__name__}", f"it answered {answer!r}")

    def put(self, storage: TorrentStorage, torrent: TrialTorrent, pieces: Iterable[int] | None = None) -> None:
        """Write pieces whole, all of them unless told which."""
        for piece in torrent.pieces if pieces is None else pieces:
            data = memoryview(torrent.of_piece(piece))
            storage.piece(piece).writev(0, [data[:3], data[3:]])

    def got(self, storage: TorrentStorage, piece: int, begin: int, length: int) -> bytes:
        """Read from a piece. A read that is answered with a number of bytes other than all is a short read."""
        room = bytearray(b"\xee" * length)
        answer = cast(Callable[[int, Room], object], storage.piece(piece).readinto)(begin, room)
        at = f"piece {piece}, bytes {begin} to {begin + length}"
        self.expect(answer is None or answer == length, f"readinto() fills all and answers None ({at})", repr(answer))
        return bytes(room)

    def holds(self, storage: TorrentStorage, torrent: TrialTorrent, pieces: Sequence[int] | None = None) -> None:
        """Fail unless these pieces read as they must, all of them unless told which."""
        for piece in torrent.pieces if pieces is None else pieces:
            came = self.got(storage, piece, 0, torrent.geometry.length_of(piece))
            self.same(came, torrent.of_piece(piece), f"content of piece {piece}")

    def finish(self) -> None:
        """Close what is open; what is complete may be given up by a storage whose space is limited."""
        for storage, torrent in self._opened:
            for piece in torrent.pieces:
                with suppress(Closed, StorageFailed):
                    self.got(storage, piece, 0, torrent.geometry.length_of(piece))
                    storage.piece(piece).mark_complete()
            storage.close()


def is_complete(storage: TorrentStorage, piece: int) -> bool:
    """Whether it is recorded as complete."""
    return storage.piece(piece).completion() is Completion.COMPLETE


@dataclass(frozen=True)
class StorageCheck:
    """One rule, and how it is checked.

    Args:
        run: The function that does it; its name is the check's name, its docstring the rule.
    """

    run: Callable[[Bench], None]

    @property
    def name(self) -> str:
        """Its name, for a list or a parameter."""
        return self.run.__name__

    @property
    def rule(self) -> str:
        """What must be so, in words."""
        return " ".join((self.run.__doc__ or self.name).split())

    def __str__(self) -> str:
        return self.name

    def __call__(self, make: Callable[[], ClientStorage], *, persistent: bool = False) -> None:
        """Check a back end.

        Args:
            make: Gives the back end, in which no check of this name was done before. It may be the same one for all.
            persistent: What is recorded there must be known when a torrent is opened again.

        Raises:
            ConformanceFailed: it does not keep the rule, or raised what it must not.
        """
        bench = Bench(self.name, self.rule, make(), persistent=persistent)
        try:
            self.run(bench)
            bench.finish()
        except ConformanceFailed:
            raise
        except Exception as error:  # bulkhead: whatever a back end raises where it must not is its failure
            raise ConformanceFailed(self.rule, "no error", f"{type(error).__name__}: {error}") from error
