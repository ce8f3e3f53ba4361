"""Content to move about: files and folders that are the same for the same seed, made at the speed of the disk.

Every 4 KiB of a file differ from every other 4 KiB of it and of files with another seed, so that a block at the wrong
place is a wrong hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

STRIDE = 1024 * 1024  # bytes written at once
_PAGE = 4096
_STAMP_LENGTH = 5  # bytes at the end of every page that count the strides

UNUSUAL_NAMES = (
    "plain.bin",
    "with space and.dots.txt",
    "Grüße aus Köln.txt",
    "données/été à Paris.dat",
    "日本語/ファイル.bin",
    "русский/файл.iso",
    "العربية.txt",
    "emoji 🦦.jpg",
    "deep/er/and/deep/er/still.bin",
    "long " + "x" * 150 + ".bin",
    "percent%20sign.txt",
    "quote'and\"quote.txt",
    "-leading-dash",
    ".hidden",
)


def content(length: int, seed: int = 0) -> Iterator[bytes]:
    """The bytes of a file, in runs of at most 1 MiB."""
    block = bytearray(Random(seed).randbytes(min(STRIDE, max(length, _PAGE))))
    for number, begin in enumerate(range(0, length, STRIDE)):
        for place, byte in enumerate(number.to_bytes(_STAMP_LENGTH, "big"), _PAGE - _STAMP_LENGTH):
            block[place::_PAGE] = bytes([byte]) * len(range(place, len(block), _PAGE))
        yield bytes(block[: length - begin])


def make_file(path: Path, length: int, seed: int = 0) -> Path:
    """Write one file of *length* bytes, and the directories above it. Returns *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        for run in content(length, seed):
            file.write(run)
    return path


def make_folder(path: Path, files: int = 300, seed: int = 0, largest: int = 8 * 1024 * 1024) -> Path:
    """Write a folder of *files* files with unusual names in nested folders. Returns *path*.

    Lengths go from 0 to *largest* bytes, many short and few long, with both ends among them from 14 files on (300
    files up to 8 MiB hold 150 MiB or so). Some end at a block's end.
    """
    draw = Random(f"folder {seed}")
    for number in range(files):
        name = UNUSUAL_NAMES[number] if number < len(UNUSUAL_NAMES) else f"folder {number % 17}/{number:05} ю.bin"
        length = int(largest ** draw.random())
        if number == 13:
            length = largest
        elif number % 11 == 1:
            length = 0
        elif number % 11 == 2:
            length = length // 16384 * 16384
        make_file(path / name, length, seed + number + 1)
    return path


def digest(path: Path) -> str:
    """A hash of a file's content, or of a folder's names, lengths and contents: the same only for the same tree."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for file_path in sorted(path.rglob("*")):
        if file_path.is_file():
            whole.update(f"{file_path.relative_to(path).as_posix()}\0{digest(file_path)}\n".encode())
    return whole.hexdigest()
