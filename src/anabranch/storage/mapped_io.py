"""The mmap back end: the files of the file back end, whose pages are lent to system calls besides.

Who sends a block from mapped pages needs no memory for it and no read before it. Only system calls may have them: where
a file was cut short they answer EFAULT, but whoever looks for himself gets a signal that ends the program. So hashing,
readers and all other reads are the file back end's own.

Files are mapped in windows of bounded size and number, shared and read-only. A map belongs to the file behind the open
descriptor and not to a name: renames change nothing, and what was put in a file's place is mapped anew.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from weakref import WeakSet

from anabranch.model import InfoHash

from .backend import Layout
from .completion import CompletionStore
from .file_storage_io import FileStorage, FileTorrent
from .files_io import Files
from .folder_io import Folder
from .handles_io import Handle, Handles
from .layout import check_range
from .parts_io import PartsFile

WINDOW_SIZE = 16 * 1024 * 1024  # bytes; a window begins at each multiple of this in a file
LONGEST_VIEW = 1024 * 1024  # bytes that a window reaches beyond the next one's beginning, so that no view is cut there
MOST_WINDOWS = 64  # of a client: 1 GiB that may count as ours, and a descriptor each before Python 3.13


class Maps:
    """The windows, the one that was not used for longest dropped first. Safe from any thread.

    None is ever unmapped while a view of it is about: it is only forgotten, and goes with its last view. So that those
    who take nothing of what is sent to them cannot have more and more mapped, no more than twice the number is.
    """

    def __init__(self, most: int = MOST_WINDOWS) -> None:
        self._most = most
        self._windows: OrderedDict[tuple[Hashable, int, int], _Window] = OrderedDict()  # least recently used first
        self._mapped: WeakSet[mmap.mmap] = WeakSet()  # the windows' pages, also where only views are left of them
        self._lock = threading.Lock()

    def view(self, owner: Hashable, file: int, handle: Handle, place: int, length: int) -> memoryview | None:
        """At most *length* bytes from *place* of the file that is open; None where there are none, or no map of them.

        Waits for no disk: mapping reads nothing, and the descriptor is there.
        """
        with suppress(OSError, ValueError):  # no memory, no descriptor, no maps on this disk; cut short since fstat()
            there = os.fstat(handle.fd)
            number, begin = divmod(place, WINDOW_SIZE)
            reach = min(WINDOW_SIZE + LONGEST_VIEW, there.st_size - place + begin)
            end = min(begin + length, reach)
            if begin < end and there.st_nlink:
                identity = there.st_dev, there.st_ino
                window = self._window((owner, file, number), identity, end)
                if window is None:
                    if len(self._mapped) >= 2 * self._most:
                        return None
                    window = _Window(handle, identity, number * WINDOW_SIZE, reach)
                    self._keep((owner, file, number), window)
                return memoryview(window.pages)[begin:end]
        return None

    def drop_all(self, owner: Hashable) -> None:
        """Forget all windows of one owner."""
        with self._lock:
            dropped = [self._windows.pop(key) for key in list(self._windows) if key[0] == owner]
        del dropped  # without the lock: unmapping may take a while

    def __len__(self) -> int:
        return len(self._windows)

    def _window(self, key: tuple[Hashable, int, int], identity: tuple[int, int], end: int) -> _Window | None:
        with self._lock:
            window = self._windows.get(key)
            if window is None or window.identity != identity or len(window.pages) < end:
                return None  # not mapped, replaced, or the file has grown
            self._windows.move_to_end(key)
            return window

    def _keep(self, key: tuple[Hashable, int, int], window: _Window) -> None:
        with self._lock:
            dropped = [self._windows.pop(key, None)]
            self._windows[key] = window
            self._mapped.add(window.pages)
            while len(self._windows) > self._most:
                dropped.append(self._windows.popitem(last=False)[1])
        del dropped


class _Window:
    """Some pages of a file."""

    __slots__ = ("identity", "pages")

    def __init__(self, handle: Handle, identity: tuple[int, int], place: int, length: int) -> None:
        self.identity = identity
        if sys.version_info >= (3, 13):
            self.pages = mmap.mmap(handle.fd, length, access=mmap.ACCESS_READ, offset=place, trackfd=False)
        else:
            self.pages = mmap.mmap(handle.fd, length, access=mmap.ACCESS_READ, offset=place)


class MmapStorage(FileStorage):
    """A ClientStorage of plain files that are mapped.

    Args:
        directory, completion, handles, preallocate: As in FileStorage.
        maps: The maps, to be shared by all storages of a client.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        completion: Callable[[InfoHash], CompletionStore] | None = None,
        handles: Handles | None = None,
        maps: Maps | None = None,
        *,
        preallocate: bool = False,
    ) -> None:
        super().__init__(directory, completion, handles, preallocate=preallocate)
        self._maps = Maps() if maps is None else maps  # an empty one is false

    def open(self, info: Layout, info_hash: InfoHash) -> MmapTorrent:
        """See ClientStorage."""
        return MmapTorrent(self._maps, info, *self._laid_out(info, info_hash))


class MmapTorrent(FileTorrent):
    """One torrent's files, with the ability to be mapped."""

    def __init__(
        self, maps: Maps, info: Layout, files: Files, parts: PartsFile, folder: Folder, store: CompletionStore
    ) -> None:
        super().__init__(info, files, parts, folder, store)
        self._maps = maps

    def mapped(self, offset: int, length: int) -> memoryview | None:
        """See Mapped. None for padding, for what lies in the parts file, and for files that are not open.

        A file is opened by who reads it in a worker: that may take a disk.
        """
        check_range(offset, length, self._geometry.total)
        extent = next(self._map.extents(offset, length), None)
        if extent is None or self._closed or self._entries[extent.file].pad:
            return None
        handle = self._files.borrow_open(extent.file)
        if handle is None:
            return None
        with handle:
            view = self._maps.view(self, extent.file, handle, extent.place, extent.length)
            if self._closed:  # meanwhile, by another thread
                self._maps.drop_all(self)
            return view if view is not None and self._files.is_warm(handle, extent.place, len(view)) else None

    def close(self) -> None:
        """See TorrentStorage. Pages that are still lent stay mapped until they come back."""
        super().close()
        self._maps.drop_all(self)
