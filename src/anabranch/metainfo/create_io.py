"""Making a .torrent file of a file or folder on disk.

Source: BEP 3, BEP 52. The content is read once, in constant memory, and hashed by as many threads as there are cores
(hashlib lets go of the interpreter while it works). The same content under the same name gives the same bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from anabranch.model import VERSION

from .crew_io import LOOK_EVERY, Crew, Hand, open_to_read, read_at
from .dictionary import info_dictionary
from .digests import RunDigests, TorrentDigests
from .errors import CreateCancelled, MetainfoError
from .layout import MAX_FOLDERS, VERSIONS, Extent, Layout, Run, Version, choose_piece_length, sorted_files
from .metainfo import compose
from .paths import printable
from .walk_io import content_of, is_unchanged

CREATOR = f"anabranch/{VERSION}"


def create(
    path: str | os.PathLike[str],
    *,
    version: Version = "v1",
    piece_length: int | None = None,
    trackers: Sequence[str] = (),
    webseeds: Sequence[str] = (),
    httpseeds: Sequence[str] = (),
    private: bool = False,
    comment: str = "",
    source: str = "",
    name: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    created_by: str = CREATOR,
    creation_date: int | None = None,
) -> bytes:
    """Read a file or folder and return the .torrent file for it.

    Args:
        path: What to share. Symbolic links below it are followed.
        version: "v1", "v2" (BEP 52), or "hybrid": both in one, for old and new clients.
        piece_length: In bytes, a power of two from 16 KiB to 256 MiB; chosen by the length of the content when None.
        trackers: Announce URLs, best first: each makes a tier of its own (BEP 12).
        webseeds: URLs of HTTP servers that have the content (BEP 19).
        httpseeds: URLs of scripts that give it piece by piece (BEP 17).
        private: Ask for peers from these trackers only (BEP 27).
        comment: For people.
        source: A mark that gives the torrent an info hash of its own on a tracker.
        name: What the torrent is called; the name of the file or folder when None.
        progress: Called in this thread with (bytes hashed, bytes in all), at most ten times a second and at the end.
        cancelled: Asked in this thread about ten times a second; once it says True, all is dropped.
        created_by: The program's name; left out when empty.
        creation_date: Seconds since 1970; left out when None, so that the result can be reproduced.

    Raises:
        MetainfoError: the content cannot be read or has none, changed meanwhile, or an argument cannot be used.
        CreateCancelled: *cancelled* said so.
        BencodeError: a text that UTF-8 cannot say.
    """

    def check() -> None:
        if cancelled is not None and cancelled():
            raise CreateCancelled("making the torrent was cancelled")

    if version not in VERSIONS:
        raise MetainfoError(f"{version!r} is no version of a torrent, {', '.join(VERSIONS)} are")
    top = os.path.abspath(os.fspath(path))
    name = _usable_name(os.path.basename(top) if name is None else name)
    files = tuple(sorted_files(content_of(top, check, MAX_FOLDERS[version])))
    total = sum(file.length for file in files)
    if not total:
        raise MetainfoError(f"{top}: {'all files are' if files else 'the folder is'} empty, there is nothing to share")
    layout = Layout(version, files, choose_piece_length(total, piece_length))
    hasher = _Hasher([os.path.join(top, *file.path) for file in files], layout)
    digests = hasher.hash_all(progress or (lambda done, total: None), check)
    roots, layers = ([], {}) if version == "v1" else digests.trees()
    info = info_dictionary(
        name, layout, piece_hashes=digests.piece_hashes(), roots=roots, private=private, source=source
    )
    return compose(
        info,
        trackers=[(url,) for url in trackers],
        webseeds=webseeds,
        comment=comment,
        created_by=created_by,
        creation_date=creation_date,
        layers=None if version == "v1" else layers,
        httpseeds=httpseeds,
    )


def _usable_name(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise MetainfoError(f"{name!r} cannot be the name of a torrent")
    try:
        name.encode()
    except UnicodeEncodeError as bad:
        raise MetainfoError(f"{printable(name)}: a name that is not UTF-8") from bad
    return name


class _Hasher:
    """Hashes the content of a layout."""

    def __init__(self, paths: Sequence[str], layout: Layout) -> None:
        self._paths = paths
        self._layout = layout

    def hash_all(self, progress: Callable[[int, int], None], check: Callable[[], None]) -> TorrentDigests:
        """The hashes of all pieces. Raises MetainfoError, and whatever *check* raises."""
        digests = TorrentDigests(self._layout)
        total = self._layout.total
        reported = time.monotonic()
        with Crew("anabranch-create") as crew:
            check()
            for come in crew.over(self._layout.runs(), self._digests):
                check()
                if come is not None:
                    run, (hashes, roots) = come
                    digests.put(run.first_piece, hashes, roots)
                if time.monotonic() - reported >= LOOK_EVERY:
                    reported = time.monotonic()
                    progress(crew.through, total)
        for path, file in zip(self._paths, self._layout.files, strict=True):
            if not is_unchanged(path, file):
                raise _changed(path)
        progress(total, total)
        return digests

    def _digests(self, run: Run, hand: Hand) -> tuple[bytes, bytes]:
        """All hashes of a run of pieces."""
        digests = RunDigests(self._layout)
        for extent in run.extents:
            path = self._paths[extent.index]
            digests.begin(self._layout.files[extent.index].length)
            try:
                fd = open_to_read(path, extent.length)
                try:
                    _feed(digests, fd, extent, hand, path)
                finally:
                    os.close(fd)
            except OSError as bad:
                raise MetainfoError(f"{path}: {bad.strerror or bad}") from bad
            if hand.stopped:
                break
        return digests.joined()


def _feed(digests: RunDigests, fd: int, extent: Extent, hand: Hand, path: str) -> None:
    place, end = extent.begin, extent.begin + extent.length
    while place < end and not hand.stopped:
        view = hand.buffer[: end - place]
        if read_at(fd, view, place) < len(view):
            raise _changed(path)
        digests.feed(view)
        place += len(view)
        hand.through += len(view)


def _changed(path: str) -> MetainfoError:
    return MetainfoError(f"{path}: changed while it was read; try again when it is at rest")
