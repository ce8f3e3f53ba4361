"""Torrents of one piece length for tests of web seeds: what matters of them are names, lengths and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anabranch.bencode import encode
from anabranch.metainfo import Info

K = 16 * 1024

Path = bytes | str


def single(name: Path = "f", length: int = 100_000, piece_length: int = K) -> Info:
    """A v1 torrent that is one file."""
    pieces = b"h" * 20 * -(-length // piece_length)
    return Info.parse(encode({"length": length, "name": name, "piece length": piece_length, "pieces": pieces}))


def folder(files: Sequence[tuple[Path, int]], piece_length: int = K, name: Path = "t", **more: Any) -> Info:
    """A v1 torrent that is a folder: paths joined by "/", and lengths. A path that begins with "~.pad/" is padding."""
    entries = [entry(path, length) for path, length in files]
    pieces = b"h" * 20 * -(-sum(length for _, length in files) // piece_length)
    return Info.parse(encode({"files": entries, "name": name, "piece length": piece_length, "pieces": pieces, **more}))


def entry(path: Path, length: int) -> dict[str, Any]:
    """A file in the list of a v1 torrent."""
    raw = path if isinstance(path, bytes) else path.encode()
    said: dict[str, Any] = {"length": length, "path": raw.split(b"/")}
    return {**said, "attr": "p"} if raw.startswith(b"~.pad/") else said
