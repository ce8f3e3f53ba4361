"""What is asked of a web seed: bytes of a torrent as ranges of the files of a server (BEP 19), or of pieces (BEP 17).

A request for some bytes of a torrent is several HTTP requests where it spans files: parts, which together are those
bytes in order, without a gap and nothing twice. Which bytes are asked for, and when, is not decided here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

from anabranch.metainfo import FileEntry, Info
from anabranch.net import Url

from .faults import FileMissing
from .seeds import Kind, WebSeed

MAX_TARGET = 8 * 1024  # bytes of path and query; servers refuse longer ones
URI_TOO_LONG = 414  # what they answer then

# As libtorrent 2.1.1 writes them; aria2 escapes !()* as well, and in capitals. To a server that is the same.
_AS_IT_IS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*()")
_ESCAPED = [chr(byte) if byte in _AS_IT_IS else f"%{byte:02x}" for byte in range(256)]
_NO_NAMES = frozenset({"", ".", ".."})  # a server would take them for places, escaped or not


@dataclass(frozen=True, slots=True)
class Part:
    """One HTTP request: neighbouring bytes of one file, or in BEP 17 of one piece.

    Args:
        url: Whom to ask; None for a pad file, whose bytes are zeros that nobody is asked for.
        file: The file's index in the torrent; -1 in BEP 17, where only pieces are known.
        begin: Where in the file, or piece, the bytes begin.
        length: How many there are, at least 1.
        whole: The length of all of the file, or piece.
        ranged: It is to be asked with a Range header.
        offset: Where in the torrent the bytes begin.
    """

    url: Url | None
    file: int
    begin: int
    length: int
    whole: int
    ranged: bool
    offset: int


def parts_of(seed: WebSeed, info: Info, begin: int, end: int) -> Iterator[Part]:
    """The parts that make up the bytes [begin, end) of a torrent, made one by one as they are asked for.

    Offsets at which the torrent has no bytes (behind the files of a v2 torrent) have no part; nor have files without
    content, and symbolic links.

    Raises:
        FileMissing: a file's URL is longer than servers take.
        ValueError: the web seed is unusable.
    """
    if seed.base is None or seed.unusable:
        raise ValueError(f"{seed} has no parts: {seed.unusable}")
    if seed.source.kind is Kind.HTTP_SEEDS:
        return _parts_of_pieces(seed.base, info, begin, end)
    return _parts_of_files(seed.base, info, begin, end)


def _parts_of_files(base: Url, info: Info, begin: int, end: int) -> Iterator[Part]:
    index = max(0, bisect_right(info.files, begin, key=attrgetter("offset")) - 1)
    while index < len(info.files) and (file := info.files[index]).offset < end:
        start, stop = max(begin, file.offset), min(end, file.offset + file.length)
        if start < stop:
            url = None if file.pad else _url_of(base, info, file)
            ranged = url is not None and stop - start < file.length
            yield Part(url, index, start - file.offset, stop - start, file.length, ranged, start)
        index += 1


def _parts_of_pieces(base: Url, info: Info, begin: int, end: int) -> Iterator[Part]:
    mark = "&" if "?" in base.target else "?"
    ask = f"{base.target}{mark}info_hash={_escaped(info.info_hash)}&piece="
    for piece in info.geometry.pieces_of(begin, end - begin):
        offset, length = info.geometry.offset_of(piece), info.geometry.length_of(piece)
        start, stop = max(begin, offset) - offset, min(end, offset + length) - offset
        if start < stop:
            ranges = f"&ranges={start}-{stop - 1}" if stop - start < length else ""
            url = replace(base, target=f"{ask}{piece}{ranges}")
            yield Part(url, -1, start, stop - start, length, False, offset + start)


def _url_of(base: Url, info: Info, file: FileEntry) -> Url:
    """A URL that ends in a slash is a folder in which the torrent lies; any other is the only file itself."""
    if not base.target.endswith("/"):
        return base
    target = base.target + "/".join(_escaped(name.encode("utf-8", "surrogateescape")) for name in _names_of(file))
    if len(target) > MAX_TARGET:
        raise FileMissing(
            f"{base.host}: the URL of file {file.index} is too long to be asked for", URI_TOO_LONG, file.index
        )
    return replace(base, target=target)


def _names_of(file: FileEntry) -> Iterator[str]:
    """The names as the torrent has them, not as our disk has: the server has the original.

    What no server can have as a file's name is cleaned as it is for the disk. libtorrent asks for all names cleaned.
    """
    for safe, named in zip(file.path, file.named or file.path, strict=True):
        yield safe if named in _NO_NAMES or "/" in named or "\0" in named else named


def _escaped(data: bytes) -> str:
    return "".join([_ESCAPED[byte] for byte in data])
