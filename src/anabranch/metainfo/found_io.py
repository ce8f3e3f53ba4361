"""Data that is on disk under the torrent's own names, although those are not what we would name it.

A safe path differs from the torrent's own where other systems could not have the name, or a name comes twice but for
its case. Here the files may be there all the same: made by us, or by a client that keeps such names. Then they are
used.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .info import Info

_LONGEST = 255  # bytes of a name


def where_found(info: Info, directory: str | os.PathLike[str]) -> Info:
    """The same info, with the torrent's own path for each file that is on disk under it and not under its safe one.

    Only names that stay inside the directory and lead through no symbolic link are looked for.
    """
    if all(file.named is None for file in info.files):
        return info
    root = Path(directory)
    taken = {file.path for file in info.files if not file.pad}
    files = list(info.files)
    for index, file in enumerate(files):
        named = file.named
        if named is None or file.pad or named in taken or not _harmless(named):
            continue
        if not _is_file(root, file.path) and _is_file(root, named):
            taken.add(named)
            files[index] = replace(file, path=named)
    return replace(info, files=tuple(files))


def _harmless(path: Sequence[str]) -> bool:
    """Whether the path stays below the directory, on this system."""
    if sys.platform == "win32":
        return False
    return all(
        name not in ("", ".", "..") and not {"/", "\0"} & set(name) and len(os.fsencode(name)) <= _LONGEST
        for name in path
    )


def _is_file(root: Path, path: Sequence[str]) -> bool:
    here = root
    for name in path[:-1]:
        here = here / name
        if not _is(here, stat.S_ISDIR):
            return False
    last = here / path[-1]
    return _is(last, stat.S_ISREG) or _is(last.with_name(last.name + ".part"), stat.S_ISREG)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False
