"""Finding the content of a new torrent on disk.

Symbolic links are followed: a torrent holds what they point to. What cannot be shared (broken links, loops, devices,
names that are not UTF-8) is an error and not silently left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from .errors import MetainfoError
from .layout import ContentFile
from .paths import printable


def content_of(path: str, check: Callable[[], None], max_folders: int) -> list[ContentFile]:
    """All files below a folder, hidden ones too, in no order; or the one file that *path* is.

    Args:
        path: An absolute path.
        check: Called once for every folder; what it raises ends the search.
        max_folders: How many folders may be inside each other below *path*.

    Raises:
        MetainfoError: something there cannot be read or cannot be put into a torrent.
    """
    top = _look(path)
    if not stat.S_ISDIR(top.st_mode):
        return [_file((), path, top)]
    files: list[ContentFile] = []
    # Folders still to be read: their components, and what tells them and the folders around them apart.
    folders: list[tuple[tuple[str, ...], frozenset[tuple[int, int]]]] = [((), frozenset({_identity(top)}))]
    while folders:
        check()
        components, around = folders.pop()
        for name in _names(os.path.join(path, *components)):
            inner = (*components, name)
            where = os.path.join(path, *inner)
            found = _look(where)
            if not stat.S_ISDIR(found.st_mode):
                files.append(_file(inner, where, found))
            elif _identity(found) in around:
                raise MetainfoError(f"{where}: a symbolic link to a folder around it, which has no end")
            elif len(inner) > max_folders:
                raise MetainfoError(f"{where}: more than {max_folders} folders deep")
            else:
                folders.append((inner, around | {_identity(found)}))
    return files


def is_unchanged(path: str, file: ContentFile) -> bool:
    """Whether the file still has the length and time of change that it was found with.

    Raises:
        MetainfoError: it cannot be looked at.
    """
    now = _look(path)
    return (now.st_size, now.st_mtime_ns) == (file.length, file.modified)


def _names(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError as bad:
        raise MetainfoError(f"{folder}: {bad.strerror or bad}") from bad
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as bad:
            raise MetainfoError(f"{printable(os.path.join(folder, name))}: a name that is not UTF-8") from bad
    return names


def _file(components: tuple[str, ...], where: str, found: os.stat_result) -> ContentFile:
    if not stat.S_ISREG(found.st_mode):
        raise MetainfoError(f"{where}: neither a file nor a folder")
    return ContentFile(
        components,
        found.st_size,
        found.st_mtime_ns,
        executable=bool(found.st_mode & stat.S_IXUSR),
        hidden=bool(getattr(found, "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_HIDDEN),  # there is one on Windows
    )


def _look(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as bad:
        if os.path.islink(path):
            raise MetainfoError(f"{path}: a symbolic link that leads nowhere ({bad.strerror or bad})") from bad
        raise MetainfoError(f"{path}: {bad.strerror or bad}") from bad
    except ValueError as bad:  # a NUL in the path
        raise MetainfoError(f"{path!r}: {bad}") from bad


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
