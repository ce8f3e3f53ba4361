"""A data directory: names below it are opened, made and renamed without ever leaving it through a symbolic link.

Each step of a path is opened relative to the directory above (`dir_fd`) with O_NOFOLLOW, so nothing that another
program does in between leads outside. Where the system cannot do that, each step is looked at first: the same refusals,
without the guarantee. The data directory itself may be reached through links; it is the user's word.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from anabranch.model import StorageFailed

Path = tuple[str, ...]  # names from the data directory downwards

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_FILE_FLAGS: int = _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_DIRECTORY_FLAGS: int = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class Folder:
    """One data directory. Remembers where names were made or changed until sync(). Safe from any thread.

    Every method raises StorageFailed with the whole path and the system's words.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(root)
        self._by_descriptor = os.open in os.supports_dir_fd  # not on Windows
        self._unsynced: set[Path] = set()  # directories
        self._lock = threading.Lock()

    def shown(self, path: Path) -> str:
        """The path as people and the system write it."""
        return os.path.join(self.root, *path)

    def open(self, path: Path, flags: int) -> int:
        """Open a regular file; with O_CREAT the directories that lead to it are made too."""
        make = bool(flags & os.O_CREAT)
        with self._inside(path[:-1], make) as (prefix, above), self._blamed(path):
            self._refuse_link(path, prefix, above)
            descriptor = os.open(prefix + path[-1], flags | _FILE_FLAGS, FILE_MODE, dir_fd=above)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise StorageFailed(self.shown(path), "is not a regular file", errno.EINVAL)
        if make:
            self._note(path[:-1])
        return descriptor

    def sizes(self, parents: Path, names: Sequence[str]) -> list[int | None]:
        """Sizes in bytes of several files of one directory, None for each that is not there."""
        return self.sizes_below({parents: names})[0]

    def sizes_below(self, wanted: Mapping[Path, Sequence[str]]) -> list[list[int | None]]:
        """The same of files of several directories. What is below one that is not there is not looked for."""
        found: list[list[int | None]] = []
        absent: set[Path] = set()
        for parents, names in wanted.items():
            if absent and any(parents[:depth] in absent for depth in range(len(parents) + 1)):
                found.append([None] * len(names))
                continue
            try:
                with self._inside(parents, make=False) as (prefix, above):
                    found.append([self._size((*parents, name), prefix, above) for name in names])
            except StorageFailed as failed:
                if failed.errno != errno.ENOENT:
                    raise
                steps = (parents[:depth] for depth in range(len(parents) + 1))
                absent.update(step for step in steps if self.shown(step) == failed.path)
                found.append([None] * len(names))
        return found

    def rename(self, path: Path, to: Path) -> None:
        """Rename a file, over another if one has the name."""
        with (
            self._inside(path[:-1], make=False) as (prefix, above),
            self._inside(to[:-1], make=True) as (there, beside),
            self._blamed(path),
        ):
            os.replace(prefix + path[-1], there + to[-1], src_dir_fd=above, dst_dir_fd=beside)
        self._note(path[:-1])
        self._note(to[:-1])

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        try:
            with self._inside(path[:-1], make=False) as (prefix, above), self._blamed(path):
                os.unlink(prefix + path[-1], dir_fd=above)
        except StorageFailed as failed:
            if failed.errno != errno.ENOENT:
                raise

    def move(self, path: Path, there: Folder, to: Path) -> None:
        """Rename a file into another data directory of the same file system, over another if one has the name.

        Raises:
            StorageFailed: also where it is another file system (EXDEV).
        """
        with (
            self._inside(path[:-1], make=False) as (prefix, above),
            there._inside(to[:-1], make=True) as (beyond, beside),
        ):
            try:
                os.replace(prefix + path[-1], beyond + to[-1], src_dir_fd=above, dst_dir_fd=beside)
            except OSError as error:
                reason = f"{error.strerror or error} (moving it to {there.shown(to)})"
                raise StorageFailed(self.shown(path), reason, error.errno or 0) from error
        there._note(to[:-1])
        self._note(path[:-1])

    def remove_files(self, parents: Path, names: Iterable[str]) -> int:
        """Remove regular files of one directory, those that are there; the bytes that they had.

        What is something else, and what is behind something else than a directory, is left alone.
        """
        freed = 0
        try:
            with self._inside(parents, make=False) as (prefix, above):
                for name in names:
                    with self._blamed((*parents, name)), suppress(FileNotFoundError):
                        found = os.stat(prefix + name, dir_fd=above, follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode):
                            os.unlink(prefix + name, dir_fd=above)
                            self._note(parents)
                            freed += found.st_size
        except StorageFailed as failed:
            if failed.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
        return freed

    def remove_empty(self, directories: Iterable[Path]) -> None:
        """Remove those of the directories that are empty, or are once others of them are gone."""
        for path in sorted(directories, key=len, reverse=True):
            with suppress(StorageFailed), self._inside(path[:-1], make=False) as (prefix, above):  # it is no loss
                with self._blamed(path):
                    os.rmdir(prefix + path[-1], dir_fd=above)
                self._note(path[:-1])

    def identity(self, path: Path) -> tuple[int, int, int, int]:
        """What tells one directory entry's file from all others: device and inode of its directory, and its own."""
        with self._inside(path[:-1], make=False) as (prefix, above), self._blamed(path):
            found = os.stat(prefix + path[-1], dir_fd=above, follow_symlinks=False)
            within = os.fstat(above) if above is not None else os.stat(prefix)
            return within.st_dev, within.st_ino, found.st_dev, found.st_ino

    def sync(self) -> None:
        """Make durable the names made and changed since the last time. What failed is due again."""
        with self._lock:
            due, self._unsynced = self._unsynced, set()
        while due:
            parents = due.pop()
            try:
                with self._inside(parents, make=False) as (_, above):
                    if above is not None:  # else the system cannot sync a directory
                        with self._blamed(parents):
                            os.fsync(above)
            except StorageFailed as failed:
                if failed.errno in (errno.EINVAL, errno.ENOENT):  # some network file systems cannot; it was removed
                    continue
                with self._lock:
                    self._unsynced |= {parents, *due}
                raise

    @contextmanager
    def _inside(self, parents: Path, make: bool) -> Iterator[tuple[str, int | None]]:
        """A directory below the root: the prefix for a name in it, and the descriptor that this is relative to."""
        if not self._by_descriptor:
            yield self._plainly(parents, make) + os.sep, None
            return
        with self._blamed(()):
            if make:
                self._make_root()
            here = os.open(self.root, _DIRECTORY_FLAGS)
        try:
            for depth in range(1, len(parents) + 1):
                below = self._step(here, parents[:depth], make)
                os.close(here)
                here = below
            yield "", here
        finally:
            os.close(here)

    def _make_root(self) -> None:
        """Make the data directory with those that lead to it, durable at once: it is above all that sync() knows."""
        missing: list[str] = []
        path = self.root
        while not os.path.isdir(path) and path != os.path.dirname(path):
            missing.append(path)
            path = os.path.dirname(path)
        if not missing:
            return
        os.makedirs(self.root, DIRECTORY_MODE, exist_ok=True)
        if self._by_descriptor:
            for made in missing:
                with suppress(OSError):  # one that may not be read, or a file system that cannot
                    _sync_directory(os.path.dirname(made))

    def _step(self, here: int, path: Path, make: bool) -> int:
        with self._blamed(path):
            try:
                return os.open(path[-1], _DIRECTORY_FLAGS | _NO_FOLLOW, dir_fd=here)
            except FileNotFoundError:
                if not make:
                    raise
            except OSError:
                self._refuse_link(path, "", here)  # the system's word for it would be "not a directory"
                raise
            try:
                os.mkdir(path[-1], DIRECTORY_MODE, dir_fd=here)
                self._note(path[:-1])
            except FileExistsError:
                pass  # another thread was faster, or it is a dangling link, which the next line refuses
            return os.open(path[-1], _DIRECTORY_FLAGS | _NO_FOLLOW, dir_fd=here)

    def _plainly(self, parents: Path, make: bool) -> str:
        """The twin of walking down with descriptors: look at each step, then trust the whole path."""
        with self._blamed(parents):
            if make:
                self._make_root()
            for depth in range(1, len(parents) + 1):
                shown = self.shown(parents[:depth])
                self._refuse_link(parents[:depth], self.shown(parents[: depth - 1]) + os.sep, None)
                if make and not os.path.isdir(shown):
                    with suppress(FileExistsError):  # another thread was faster
                        os.mkdir(shown, DIRECTORY_MODE)
            return self.shown(parents)

    def _refuse_link(self, path: Path, prefix: str, above: int | None) -> None:
        try:
            mode = os.stat(prefix + path[-1], dir_fd=above, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISLNK(mode):
            raise StorageFailed(self.shown(path), "is a symbolic link, these are not followed", errno.ELOOP)

    def _size(self, path: Path, prefix: str, above: int | None) -> int | None:
        try:
            found = os.stat(prefix + path[-1], dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:  # as _blamed(), which costs more: this is called for every file at every start
            raise StorageFailed(self.shown(path), error.strerror or str(error), error.errno or 0) from error
        if stat.S_ISLNK(found.st_mode):
            raise StorageFailed(self.shown(path), "is a symbolic link, these are not followed", errno.ELOOP)
        if not stat.S_ISREG(found.st_mode):
            raise StorageFailed(self.shown(path), "is not a regular file", errno.EINVAL)
        return found.st_size

    def _note(self, directory: Path) -> None:
        with self._lock:
            self._unsynced.add(directory)

    @contextmanager
    def _blamed(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # its own file name may be relative to a descriptor
            raise StorageFailed(self.shown(path), error.strerror or str(error), error.errno or 0) from error


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, _DIRECTORY_FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
