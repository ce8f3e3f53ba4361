"""A torrent, as users see it. Every method may be called from any thread, task or callback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anabranch.engine import (
    Core,
    PieceState,
    PieceStateRun,
    Signal,
    TorrentState,
    TorrentStats,
    allow_download,
    allow_upload,
    choose_files,
    choose_pieces,
    codes_of,
    facts_of,
    files_in,
    move,
    picture_of,
    rename_folder,
    resume_data,
    runs_of,
    set_max_connections,
    set_super_seeding,
    state_in,
    stats_of,
    want_check,
    want_when_known,
)
from anabranch.metainfo import Info, Magnet, Metainfo
from anabranch.model import InfoHash, InputRefused, Misused, Priority, all_pieces
from anabranch.streaming import Reader

from .file import File, split_path
from .piece import Piece
from .piece_changes import PieceChanges
from .swarmed import Swarmed


class Torrent(Swarmed):
    """One torrent of a client. A handle: cheap to make, holds no state of its own; equal to others of the same torrent.

    Attributes:
        got_info: Set when files and pieces are known.
        checked: Set when nothing is waiting to be hashed.
        complete: Set while every wanted byte is verified, written and recorded.
        closed: Set when the torrent has let go of everything after drop() or the client's close().
            Each is waited for with `.wait(timeout)` in a thread or `await` in a task.
    """

    def __init__(self, core: Core, state: TorrentState) -> None:
        self._core = core
        self._state = state
        self.got_info: Signal = state.signals.got_info
        self.checked: Signal = state.signals.checked
        self.complete: Signal = state.signals.complete
        self.closed: Signal = state.signals.closed

    def __repr__(self) -> str:
        return f"<Torrent {self.name} {self.info_hash}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Torrent) and other._state is self._state

    def __hash__(self) -> int:
        return id(self._state)

    # What it is.

    @property
    def info_hash(self) -> InfoHash:
        """What the torrent is called among peers."""
        return self._state.info_hash

    @property
    def metainfo(self) -> Metainfo:
        """What its .torrent file says; `.raw` are the file's bytes. Of a magnet link, once `got_info` is set.

        The bytes of an idle torrent, `.raw`, `.info.raw` and piece hashes, rest in the state directory: to look at them
        reads the disk then, and raises StorageFailed or Closed where it cannot, as after the torrent was dropped.

        Raises:
            Misused: the info dictionary has not come yet: wait for `got_info`.
        """
        metainfo = self._state.metainfo
        if not metainfo.info.raw_size:
            raise Misused("the torrent's info dictionary has not come yet: wait for got_info")
        return metainfo

    @property
    def magnet_only(self) -> bool:
        """Whether only its name is known, and what it holds is still to come from peers."""
        return not self._state.metainfo.info.raw_size

    @property
    def magnet(self) -> Magnet:
        """The link that names it: before `got_info` the one it was added by."""
        metainfo = self._state.metainfo
        return Magnet.of(metainfo) if metainfo.info.raw_size else Magnet.parse(metainfo.raw.decode())

    @property
    def info(self) -> Info:
        """The info dictionary. Raises Misused while it has not come: wait for `got_info`."""
        return self.metainfo.info

    @property
    def name(self) -> str:
        """Its name, safe as a file name; before `got_info`, what the magnet link calls it, or its hash."""
        return self._state.metainfo.info.name

    @property
    def length(self) -> int:
        """Length of all content in bytes; 0 before `got_info`."""
        return self._state.metainfo.info.geometry.content

    @property
    def data_dir(self) -> str:
        """The directory its files belong in."""
        return self._state.data_path

    @property
    def files_dir(self) -> str:
        """The directory its files are in: `data_dir`, or Config.incomplete_dir until all that is wanted is complete."""
        return files_in(self._state)

    @property
    def files(self) -> list[File]:
        """Its files, in the torrent's order; none before `got_info`."""
        return [File(self._core, self._state, index) for index in range(len(self._state.metainfo.info.files))]

    @property
    def piece_count(self) -> int:
        """How many pieces it has; 0 before `got_info`."""
        return self._state.metainfo.info.geometry.piece_count

    def piece(self, index: int) -> Piece:
        """One of its pieces. Raises ValueError for a number that none has."""
        return Piece(self._core, self._state, index)

    @property
    def pieces(self) -> list[Piece]:
        """All its pieces."""
        return [self.piece(index) for index in range(self.piece_count)]

    def piece_states(self, start: int = 0, stop: int | None = None) -> list[PieceState]:
        """The states of pieces [start, stop). One short turn, however many these are."""
        codes = self._piece_codes()
        stop = len(codes) if stop is None else min(stop, len(codes))
        return [state_in(codes, index) for index in range(max(start, 0), stop)]

    def piece_state_runs(self) -> list[PieceStateRun]:
        """The states of all pieces, as runs of neighbours that are alike; none before `got_info`.

        For 350,000 pieces that is a turn of less than a millisecond, and some milliseconds without one.
        """
        return runs_of(self._piece_codes())

    def piece_changes(self) -> PieceChanges:
        """What becomes of its pieces from now on: read it with `for`, `async for` or get().

        Each change says the piece and its state. A piece comes once, however often it changed since the last look, of
        which there are ten a second; who reads to the end has seen the present state of every piece. Ends when
        the torrent is closed. Costs nothing while nobody reads, and hardly more while somebody does.

        Raises:
            Misused: before `got_info`.
        """
        _ = self.info
        return PieceChanges(self._core, self._state)

    def _piece_codes(self) -> bytearray:
        with self._core.turn:
            facts = facts_of(self._state)
        return codes_of(facts)

    # What is wanted of it.

    def download_all(self) -> None:
        """Want every file that is not wanted already; before `got_info`, as soon as there are files.

        Asked for before `got_info`, of a magnet link that selects files (BEP 53) those are meant by "all".
        """
        with self._core.turn:
            if want_when_known(self._state):
                return
        self.set_priorities([max(priority, Priority.NORMAL) for priority in self._state.worth.of_file])

    def set_priorities(self, priorities: Sequence[Priority]) -> None:
        """Change what all files are worth, at once.

        Raises:
            InputRefused: not one priority for each file.
            Misused: before `got_info`.
        """
        wishes = [Priority(priority) for priority in priorities]
        if len(wishes) != len(self.info.files):
            raise InputRefused(f"{len(wishes)} priorities for {len(self.info.files)} files")
        worth = self._state.worth.of_all(wishes)
        with self._core.turn:
            choose_files(self._core.engine, self._state, wishes, worth)

    def download_pieces(self, start: int, stop: int) -> None:
        """Want the pieces [start, stop), whatever their files are worth; none before `got_info`."""
        self._choose_pieces(start, stop, Priority.NORMAL)

    def cancel_pieces(self, start: int, stop: int) -> None:
        """Take download_pieces() back; what files are worth stays."""
        self._choose_pieces(start, stop, Priority.NONE)

    def pause(self) -> None:
        """Neither ask for data nor serve any; connections stay."""
        self.allow_download(False)
        self.allow_upload(False)

    def resume(self) -> None:
        """Take pause() back."""
        self.allow_download(True)
        self.allow_upload(True)

    def allow_download(self, allowed: bool) -> None:
        """Allow or forbid asking for data."""
        with self._core.turn:
            allow_download(self._core.engine, self._state, allowed)

    def allow_upload(self, allowed: bool) -> None:
        """Allow or forbid serving data."""
        with self._core.turn:
            allow_upload(self._core.engine, self._state, allowed)

    def set_max_connections(self, most: int) -> None:
        """Change how many connections it may have; with fewer than now the least useful end. 0 keeps it to itself.

        Less than 0 is 0.
        """
        with self._core.turn:
            set_max_connections(self._core.engine, self._state, most)

    def set_super_seeding(self, on: bool) -> None:
        """Give a new torrent to its first peers with as little upload as possible (BEP 16), or stop that.

        In force while every piece is here, for peers that come from now on: each is shown one piece at a time, and the
        next when it has passed that on. Takes longer than seeding where there are other seeds.
        """
        with self._core.turn:
            set_super_seeding(self._core.engine, self._state, on)

    # Its data.

    def reader(self) -> Reader:
        """A reader of all its content, which fetches what it will need. Raises Misused before `got_info`.

        To open, seek and close it, and to read what is complete, takes no turn: nobody is disturbed.
        """
        return Reader(self._core, self._state, 0, self.info.geometry.total)

    def passive_reader(self) -> Reader:
        """A reader of all its content that fetches nothing by itself. Raises Misused before `got_info`."""
        return Reader(self._core, self._state, 0, self.info.geometry.total, passive=True)

    def verify(self) -> None:
        """Have everything hashed anew; `checked` is set when that is done, and what is wrong is fetched again.

        Files that came since the torrent was opened are found: a disk was mounted, somebody put them there. But not
        one beside a `.part` of ours, or of a file that is not wanted and of which we have bytes: ours count there.
        """
        with self._core.turn:
            want_check(self._core.engine, self._state, all_pieces(self.piece_count))

    def resume_data(self) -> bytes:
        """Everything another client needs to go on with the same files without hashing: give it to add(resume=)."""
        with self._core.turn:
            return resume_data(self._state)

    def move(self, directory: str | Path) -> Signal:
        """Have its files taken to another directory, on this file system or another. Returns at once.

        Meanwhile nothing is asked or served, its peers stay connected, and readers wait. `data_dir` is the new one when
        the signal is set; a torrent that is in Config.incomplete_dir stays there until it is complete. Of a magnet link
        it happens when the files are known. It survives a kill: the next run goes on with it.

        What cannot be done is taken back: the signal raises the reason (StorageFailed with the path; what has a file's
        name there already is never overwritten), and the torrent goes on from where it was. While the files are on
        their way, to move() them to the present `data_dir` calls the move back: then its signal raises Closed.

        Raises:
            InputRefused: it is being moved already, or the same torrent is in that directory already.
            StorageFailed: the stored state cannot be read.
            Closed: it was dropped.
            Misused: it is not stored in files, or not by the client itself; or called on the engine's own thread.
        """
        return move(self._core, self._state, str(directory))

    def rename_folder(self, old: str, new: str) -> Signal:
        """Have all files below one directory given the same paths below another; see File.rename.

        Both are paths below the directory of its files, with "/" between the parts.

        Raises:
            As File.rename; InputRefused also where no file is below *old*.
        """
        return rename_folder(self._core, self._state, split_path(old), split_path(new))

    # What it does.

    def stats(self) -> TorrentStats:
        """Its numbers now."""
        with self._core.turn:
            return stats_of(self._core.engine, self._state)

    def cached_stats(self) -> TorrentStats:
        """Its numbers, at most 200 ms old while the engine can answer; their age is `time.monotonic() - stats.at`.

        Never waits for the turn, except to take the first picture of the torrent; a thousand polls a second are five
        computations.
        """
        return picture_of(self._core, self._state)

    # Its end.

    def drop(self, *, delete_data: bool = False) -> Signal:
        """Remove it from the client and forget its state. Returns at once; wait for the signal it gives.

        Args:
            delete_data: Remove its files, too, and the directories that are empty then; all others stay. Where that
                fails, a Failed event says why, and the next run tries again. Otherwise files stay; dropped while they
                are being moved, each is at one of the two places.

        Dropping twice does nothing.
        """
        self._core.drop(self._state, forget=True, erase=delete_data)
        return self.closed

    def _choose_pieces(self, start: int, stop: int, priority: Priority) -> None:
        pieces = range(max(start, 0), min(stop, self.piece_count))
        for first in range(pieces.start, pieces.stop, 4096):
            with self._core.turn:
                choose_pieces(self._core.engine, self._state, range(first, min(first + 4096, pieces.stop)), priority)
