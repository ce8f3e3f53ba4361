"""A torrent's files, wherever they are: a storage that knows its place, and can be told to go to another.

What is about to be done is remembered first (storage's Relocating), so that after a kill the next run brings it to its
end before it opens anything. What cannot go on is taken back: then the files are where they were. Synchronous code for
workers, of whom one is here at a time; whoever reads what is public sees it as of a moment ago.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from bitarray import bitarray

from anabranch.metainfo import Info
from anabranch.model import Closed, InfoHash, InputRefused, StorageFailed
from anabranch.storage import (
    Claim,
    ClientStorage,
    CompletionStore,
    InUse,
    Layout,
    MemoryCompletion,
    Place,
    Relocating,
    Removes,
    Removing,
    SessionKey,
    SessionStore,
    TorrentStorage,
    Whereabouts,
    check_source,
    check_target,
    relocate,
    remove_data,
    renamed,
)

from .lodging import Wish

log = logging.getLogger(__name__)

Make = Callable[[str, Callable[[InfoHash], CompletionStore]], ClientStorage]


class Residence:
    """A ClientStorage of one torrent's files.

    Args:
        key: What the torrent is known by; its data path is where the files belong.
        make: Gives the storage of a directory whose completion is kept there.
        sessions: Where all is remembered; None: nowhere.
        known: Where earlier runs left the files; None: nobody knows, the disk is looked at.
        incomplete: The directory in which files are until the torrent is complete; None: where they belong.

    Attributes:
        key: See above.
        place: Where the files are.
        stopped: Nobody wants a move to go on: it stops soon, and is brought to its end by the next run.
        recalled: Nobody wants it at all: the files come back.
        moved: Bytes that have moved since a move was last begun.
    """

    def __init__(
        self,
        key: SessionKey,
        make: Make,
        sessions: SessionStore | None,
        known: Whereabouts | None = None,
        incomplete: str | None = None,
    ) -> None:
        self.key = key
        self.place = Place(key.data_path)
        self.stopped = False
        self.recalled = False
        self.moved = 0
        self._make = make
        self._sessions = sessions
        self._memory = MemoryCompletion()  # what is complete, where nothing is remembered
        self._incomplete = incomplete if known is None and incomplete != key.data_path else None
        self._target: Place | None = None  # where the files are on their way to
        self._room: Claim | None = None  # the right to the torrent's files where they are, if they are away
        if known is not None:
            self.place = known.place or self.place
            self._target = known.intent.target if known.intent is not None else None

    @property
    def away(self) -> bool:
        """Whether the files are elsewhere than where they belong."""
        return self.place.directory != self.key.data_path

    def open(self, info: Layout, info_hash: InfoHash) -> TorrentStorage:
        """See ClientStorage. First a move is brought to its end that an earlier run was killed in."""
        if self._incomplete is not None:
            self._choose(info, info_hash, self._incomplete)
        self._occupy()
        if self._target is not None:
            try:
                self._finish(info, info_hash, self._target)
            except (StorageFailed, InputRefused) as failed:
                if self._target is not None:  # some files are there, and some here
                    raise
                log.warning("move taken back torrent=%s reason=%s", info_hash, failed)
            self._occupy()
        home = self._make(self.place.directory, self._completion)
        return home.open(renamed(info, self.place.names), info_hash)

    def vouch(self, complete: bitarray) -> None:
        """Record what resume data say is complete; files that are gone or too short are found out by open().

        Where anything is recorded of these files it is younger than the resume data, which then say nothing. Of other
        storages than files they never do: those keep their records with the bytes. Raises StorageFailed.
        """
        store = self._completion(self.key.info_hash)
        if complete.any() and not store.load(len(complete))[0].any():
            store.record(list(complete.search(1)), ())

    def grant(self, info: Info, wish: Wish) -> None:
        """Do what somebody wants done with the files. The storage must be closed.

        Raises:
            InputRefused: the names or the directory are not possible, or in use; nothing has changed.
            StorageFailed: the system refused; the files are where they were. If they could not even be brought back
                they are at both places, and open() tries on.
            Closed: it was stopped, and open() goes on with it; or recalled, and the files are where they were.
        """
        if self.stopped:
            raise Closed("the torrent was dropped")
        if self._target is not None:
            with suppress(StorageFailed, InputRefused):
                self._finish(info, self.key.info_hash, self._target)
            if self._target is not None:
                raise StorageFailed(self._target.directory, "an earlier move can neither go on nor be taken back")
        self._pin(info)
        former, place = self.key, self._place_of(info, wish)
        if place != self.place:
            check_target(info, self.key.info_hash, self.place, place)
            self._check_source(info, self.key.info_hash, self.place, place)
        target = place if place != self.place else None
        self._begin(target, wish.key)
        if target is None:
            return
        try:
            self._finish(info, self.key.info_hash, target)
        except (StorageFailed, InputRefused, Closed):
            if wish.key is not None and self._target is None:
                self._begin(None, former)
            raise

    def occupies(self, key: SessionKey) -> bool:
        """Whether the right to run the torrent in that directory is held here, since the files are there."""
        return self._room is not None and self._room.key == key

    def hand_over(self) -> Claim | None:
        """That right, for whoever knows the torrent by that directory from now on."""
        room, self._room = self._room, None
        return room

    def expected(self, info: Info, wishes: list[Wish]) -> Mapping[int, tuple[str, ...]]:
        """The names that files have which are not called as the torrent says, once these wishes are granted."""
        names = dict(self.place.names)
        for wish in wishes:
            names |= wish.names
        return {file: path for file, path in names.items() if path != _own_name(info, file)}

    def remove(self, info: Layout, info_hash: InfoHash) -> None:
        """Remove the files, also those that are on their way. The storage must be closed. Raises StorageFailed."""
        if self._sessions is not None:
            self._sessions.intend(self.key, Removing(self._target))
        self._occupy()
        if self._target is not None:
            remove_data(info, info_hash, self._target)
        remove_data(info, info_hash, self.place)

    def leave(self) -> None:
        """Nobody has anything to do with the files any more. Again is harmless."""
        if self._room is not None:
            self._room.release()
            self._room = None

    def _place_of(self, info: Info, wish: Wish) -> Place:
        """Where the files are once the wish is granted. What is not complete stays in the directory for that."""
        directory = self.place.directory
        if wish.home:
            directory = self.key.data_path
        elif wish.key is not None and not self.away:
            directory = wish.key.data_path
        return Place(directory, self.expected(info, [wish]))

    def _begin(self, target: Place | None, key: SessionKey | None) -> None:
        """Remember where the files are about to go, and what the torrent is known by from now on, in one step."""
        key = key or self.key
        if self._sessions is not None:
            known = None if self.place == Place(key.data_path) else self.place
            intent = Relocating(target) if target is not None else None
            self._sessions.arrived(self.key, known, key.data_path, intent)
        self.key, self._target = key, target

    def _finish(self, info: Layout, info_hash: InfoHash, target: Place) -> None:
        """Bring what was begun to its end, or take it back."""
        source, self.moved = self.place, 0
        self._check_source(info, info_hash, source, target)  # nor is anything taken back to where no disk is
        try:
            relocate(info, info_hash, source, target, self._may_go_on)
        except (StorageFailed, InputRefused, Closed) as failed:
            if isinstance(failed, Closed) and not self.recalled:
                raise
            with suppress(StorageFailed):  # the first error is the one that tells
                self._check_source(info, info_hash, target, source)
                relocate(info, info_hash, target, source, lambda _: not self.stopped)
                self._settle(source)
            raise
        self._settle(target)

    def _check_source(self, info: Layout, info_hash: InfoHash, source: Place, target: Place) -> None:
        """A disk that is not mounted has nothing to move: the torrent shall not be known elsewhere for that."""
        _, complete = self._completion(info_hash).load(info.geometry.piece_count)
        check_source(info, info_hash, source, target, complete)

    def _may_go_on(self, moved: int) -> bool:
        self.moved = moved
        return not self.stopped and not self.recalled

    def _settle(self, place: Place) -> None:
        """The files are there."""
        if self._sessions is not None:
            known = None if place == Place(self.key.data_path) else place
            self._sessions.arrived(self.key, known)
        self.place, self._target = place, None

    def _pin(self, info: Info) -> None:
        """Remember the names under which files were found: from now on nobody looks for them in one directory."""
        found = {number: file.path for number, file in enumerate(info.files) if file.named == file.path}
        names = found | dict(self.place.names)
        if names != self.place.names:
            self._settle(Place(self.place.directory, names))

    def _choose(self, info: Layout, info_hash: InfoHash, incomplete: str) -> None:
        """A torrent that nobody knows: what is where it belongs stays there, unless it was begun elsewhere."""
        home, begun = Place(self.key.data_path), Place(incomplete)
        try:
            if self._room is None and self._sessions is not None:
                self._room = self._sessions.claim(SessionKey(info_hash, incomplete))
        except InUse as taken:
            log.info("kept where it belongs torrent=%s reason=%s", info_hash, taken)
        else:
            if not _is_taken(info, info_hash, begun, home) or _is_taken(info, info_hash, home, begun):
                self._settle(begun)
        self._incomplete = None

    def _occupy(self) -> None:
        """Have the right to where the files are, if that is not where they belong. Raises StorageFailed."""
        due = SessionKey(self.key.info_hash, self.place.directory)
        if self._room is not None and (self._room.key != due or not self.away):
            self.leave()
        if self._room is None and self.away and self._sessions is not None:
            try:
                self._room = self._sessions.claim(due)
            except InUse as taken:
                raise StorageFailed(due.data_path, str(taken), errno.EBUSY) from taken

    def _completion(self, info_hash: InfoHash) -> CompletionStore:
        return self._memory if self._sessions is None else self._sessions.completion(self.key)


def remove_all(home: ClientStorage, storage: TorrentStorage | None, info: Layout, info_hash: InfoHash) -> None:
    """Close a torrent's storage, if it is open, and remove all of the torrent's data.

    Raises:
        StorageFailed: the system refused, or the storage has no way to do it.
    """
    if isinstance(home, Residence):
        if storage is not None:
            storage.close()
        try:
            home.remove(info, info_hash)
        finally:
            home.leave()
        return
    opened = home.open(info, info_hash) if storage is None else storage
    try:
        if not isinstance(opened, Removes):
            raise StorageFailed(f"torrent {info_hash}", f"{type(opened).__name__} has no way to remove its data")
        opened.remove()
    finally:
        opened.close()


def path_of(home: ClientStorage, info: Info, file: int) -> tuple[str, ...]:
    """What a file is called at present: its path below the directory."""
    names = home.place.names if isinstance(home, Residence) else {}
    return names.get(file) or info.files[file].path


def is_away(home: ClientStorage) -> bool:
    """Whether a torrent's files are elsewhere than where they belong."""
    return isinstance(home, Residence) and home.away


def _is_taken(info: Layout, info_hash: InfoHash, source: Place, target: Place) -> bool:
    """Whether any of the torrent's names is there at the target."""
    try:
        check_target(info, info_hash, source, target)
    except StorageFailed as failed:
        if failed.errno != errno.EEXIST:
            raise
        return True
    return False


def _own_name(info: Info, file: int) -> tuple[str, ...] | None:
    """What the torrent calls a file; None where that depends on what is found on the disk."""
    return info.files[file].path if info.files[file].named is None else None
