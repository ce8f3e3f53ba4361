"""The right bytes of a torrent, read from where its files are: a peer that lies well tells the truth in between."""

from __future__ import annotations

from pathlib import Path

from anabranch.metainfo import Info, where_found

from .scene import Content


def content_in(info: Info, folder: str | Path) -> Content:
    """Who reads the torrent's bytes from the files below *folder*. What is missing there reads as zeros."""
    top = Path(folder)
    files = [file for file in where_found(info, top).files if file.length and not file.pad]

    def read(piece: int, begin: int, length: int) -> bytes:
        start = info.geometry.offset_of(piece) + begin
        data = bytearray(length)
        for file in files:
            first, last = max(start, file.offset), min(start + length, file.offset + file.length)
            path = top.joinpath(*file.path)
            if first < last and path.is_file():
                with path.open("rb") as source:
                    source.seek(first - file.offset)
                    part = source.read(last - first)
                data[first - start : first - start + len(part)] = part
        return bytes(data)

    return read


def content_of(info: Info, data: bytes) -> Content:
    """The same of bytes in memory, in the torrent's order."""

    def read(piece: int, begin: int, length: int) -> bytes:
        start = info.geometry.offset_of(piece) + begin
        return data[start : start + length]

    return read
