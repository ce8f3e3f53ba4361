"""File names out of a torrent, made safe to be used below the data directory.

Names come from strangers (BEP 3 has them as plain strings). A path made here has no component that leads elsewhere,
that a common file system cannot hold, or that shows a person something else than it is; and no two files share one.
The same names give the same paths on every system, so that data can be moved between systems, except for the
characters that only Windows refuses (`<>:"|?*`): elsewhere they are ordinary ("Re: Zero") and other clients keep them.
What libtorrent cleans on every system too (separators, controls, "..") becomes the same, so that its data is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from unicodedata import normalize

MAX_COMPONENT = 250  # bytes of UTF-8: file systems take 255, and ".part" is appended while a file is incomplete
MAX_DEPTH = 100  # components of one path

_LONGEST_NUMBER = ".0000000"  # as many digits as the number of a torrent's files has at most
_MAX_SHOWN = 500  # characters of a path that are shown to a person; a torrent may hold one of megabytes

_REMOVED = re.compile("[\0/\\\\\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # NUL, separators, bidi controls
_REPLACED = re.compile("[\x01-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, and bytes that are not UTF-8
_UNDECODED = re.compile("[\ud800-\udfff]")
_WINDOWS_ONLY = re.compile('[<>:"|?*]')
_PLAIN = re.compile(r"[A-Za-z0-9_ .,()\[\]-]{0,199}[A-Za-z0-9_()\[\]-]")  # nothing in it has to be changed
_DRIVE = re.compile("^([A-Za-z]):")  # "C:x" joined to a directory leaves it
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def text_of(raw: bytes) -> str:
    """A name as text; bytes that are not UTF-8 become lone surrogates, which cleaning replaces one by one.

    An encoding that the torrent may declare is not followed: it stands outside the info dictionary, so that the same
    torrent would get other names when it comes by magnet link.
    """
    return raw.decode("utf-8", "surrogateescape")


def is_decoded(text: str) -> bool:
    """Whether all bytes of a text from `text_of` were UTF-8."""
    return not _UNDECODED.search(text)


def printable(text: str) -> str:
    """A name as it may be shown to a person: what does not print is spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(path: Sequence[str]) -> str:
    """A path as it may be shown to a person, cut where it is very long."""
    text = "/".join([part[: _MAX_SHOWN + 1] for part in path])
    return printable(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")


def clean(component: str, *, windows: bool) -> str:
    """One safe path component: never empty, at most 250 bytes, the same again when cleaned again."""
    if _PLAIN.fullmatch(component) and not _DEVICE.match(component):
        return component  # as most are; the same as what follows would give
    safe = _REPLACED.sub("_", _REMOVED.sub("", component))
    safe = _DRIVE.sub(r"\1_", safe)
    if windows:
        safe = _WINDOWS_ONLY.sub("_", safe)
    safe = safe.rstrip(". ") or "_"  # Windows drops these from the end; "." and ".." become "_" as well
    if _DEVICE.match(safe):
        safe = "_" + safe
    return _shortened(safe)


def _shortened(name: str) -> str:
    return name if len(name.encode()) <= MAX_COMPONENT else _fitted(*_split(name))


def _fitted(stem: str, ending: str) -> str:
    """Both together, the stem cut to what room the ending leaves it."""
    room = MAX_COMPONENT - len(ending.encode())
    return (stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") or "_") + ending


def _split(name: str) -> tuple[str, str]:
    """Stem and extension with its dot; an extension is at most 20 bytes and not the whole name."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 20:
        return name, ""
    return stem, dot + extension


class _Folder(dict[str, "_Folder | None"]):
    """What is taken in one directory, by folded name: a folder, or None for a file."""


def safe_paths(originals: Sequence[tuple[str, ...]], *, windows: bool) -> list[tuple[str, ...]]:
    """Clean every component of every path, and keep files apart that would meet.

    Files meet when their paths differ at most in case or in Unicode composition (the common file systems of macOS and
    Windows do not tell these apart), or when one's path is a folder of another. The later file gets a number before
    its extension; a file in the way of a folder gets one wherever it stands. In the order of the originals.
    """
    cleaned = {component: clean(component, windows=windows) for component in set(chain.from_iterable(originals))}
    paths = [tuple([cleaned[component] for component in path]) for path in originals]
    root = _Folder()
    above = [path[:-1] for path in paths]
    folder_of = {parents: _folder(root, parents) for parents in set(above)}
    folders = [folder_of[parents] for parents in above]  # all folders first: they are never renamed
    last_number: dict[tuple[int, str], int] = {}
    for index, (folder, path) in enumerate(zip(folders, paths, strict=True)):
        name = path[-1]
        name_key = _folded(name)
        if name_key in folder:
            stem, extension = _split(name)
            # Different names that would get the same numbered ones count together: else each would try all of them.
            series = id(folder), _folded(_fitted(stem, _LONGEST_NUMBER + extension))
            number = last_number.get(series, 0)
            while name_key in folder:
                number += 1
                name = _fitted(stem, f".{number}{extension}")
                name_key = _folded(name)
            last_number[series] = number
        folder[name_key] = None
        if name != path[-1]:
            paths[index] = (*path[:-1], name)
    return paths


def _folder(root: _Folder, path: Iterable[str]) -> _Folder:
    here = root
    for component in path:
        key = _folded(component)
        inner = here.get(key)
        if inner is None:
            inner = here[key] = _Folder()
        here = inner
    return here


def _folded(name: str) -> str:
    """The same text for names that a file system may take for one."""
    if name.isascii():
        return name.lower()
    return normalize("NFC", normalize("NFC", name).casefold())
