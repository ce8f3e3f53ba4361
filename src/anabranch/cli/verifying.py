"""`anabranch verify`: hashes everything a torrent should have on disk and says what is wrong or missing.

Only ever reads: it opens files for reading, under their own names or as NAME.part, and needs neither lock nor state, so
that it may look at what another program is using. Bytes of files that were not selected, which a download keeps aside
for its own use, are not looked at.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from anabranch.metainfo import FileEntry, Hasher, Info, PieceLayers, due_of, load, printable, where_found
from anabranch.model import InputRefused

from . import words
from .interrupt import INTERRUPTED, Interrupt
from .meter import Meter
from .options import check_source

_READ_SIZE = 1024 * 1024  # bytes
_JOB_SIZE = 8 * 1024 * 1024  # bytes that one thread takes at a time; at least one piece
_ENDING = ".part"  # what a download calls a file that is not complete


@dataclass(frozen=True, slots=True)
class Found:
    """Where a file is, and how long; *fault* says why it cannot be used whole, "" if it can."""

    path: str
    length: int
    fault: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """A piece that is not right, and why: its place, or the system's words."""

    piece: int
    reason: str
    missing: bool  # for want of a file or its end, which is said of the file


def verify(source: str, data_dir: str, quiet: bool) -> int:
    """Hash everything. Answers the exit code: 0 only if all of it is right; raises TorrentError."""
    check_source(source)
    metainfo = load(source)
    info = metainfo.info
    layers = PieceLayers(info, metainfo.layers) if info.v2 is not None else None
    if layers is not None and info.v1 is None and not layers.complete:
        raise InputRefused(f"{source} has no piece layers: without them nothing of a v2 torrent can be verified")
    if not os.path.isdir(data_dir):
        raise InputRefused(f"{data_dir}: not a directory")
    info = where_found(info, data_dir)
    found = [look_for(data_dir, info, file) for file in info.files]
    geometry = info.geometry
    wrong: list[Wrong] = []
    done = 0
    meter = Meter("verifying", quiet)
    with Interrupt() as interrupt, ThreadPoolExecutor(os.cpu_count() or 1, "anabranch-verify") as pool:
        most = max(1, _JOB_SIZE // geometry.piece_length)
        jobs = (range(first, min(first + most, geometry.piece_count)) for first in range(0, geometry.piece_count, most))
        pending = {pool.submit(check, info, layers, found, job) for job in islice(jobs, 2 * (os.cpu_count() or 1))}
        while pending and not interrupt.seen:
            finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in finished:
                hashed, bad = future.result()
                done += hashed
                wrong += bad
            pending |= {pool.submit(check, info, layers, found, job) for job in islice(jobs, len(finished))}
            meter.update(done, geometry.content)
        for future in pending:
            future.cancel()
        meter.clear()
        if interrupt.seen:
            return INTERRUPTED
    return _report(info, found, sorted(wrong, key=lambda one: one.piece), quiet)


def look_for(data_dir: str, info: Info, file: FileEntry) -> Found:
    """Find a file on disk, without opening it."""
    path = os.path.join(data_dir, *file.path)
    if file.pad or file.symlink is not None:
        return Found(path, file.length, "")
    fault = "missing"
    for name in (path, path + _ENDING):
        try:
            length = os.stat(name).st_size
        except FileNotFoundError:
            continue
        except OSError as error:
            fault = error.strerror or str(error)
            continue
        if not os.path.isfile(name):
            fault = "not a file"
        elif length < file.length:
            return Found(name, length, f"only {length} of {file.length} bytes")
        elif length > file.length:
            return Found(name, length, f"{length} bytes, {file.length} are due")
        else:
            return Found(name, length, "")
    return Found(path, 0, fault)


def check(info: Info, layers: PieceLayers | None, found: Sequence[Found], pieces: range) -> tuple[int, list[Wrong]]:
    """Hash some pieces: how many bytes they have, and those that are not right."""
    geometry = info.geometry
    buffer = memoryview(bytearray(min(_READ_SIZE, geometry.piece_length)))
    wrong = []
    files = _Files(info, found)
    try:
        for piece in pieces:
            hasher = Hasher(due_of(info, layers, piece))
            try:
                for part in files.read(geometry.offset_of(piece), geometry.length_of(piece), buffer):
                    hasher.update(part)
            except _Lacking as lack:
                wrong.append(Wrong(piece, str(lack), missing=True))
                continue
            except OSError as error:
                wrong.append(Wrong(piece, f"{error.filename}: {error.strerror or error}", missing=False))
                continue
            if not hasher.good():
                wrong.append(Wrong(piece, files.place(geometry.offset_of(piece), geometry.length_of(piece)), False))
    finally:
        files.close()
    return sum(map(geometry.length_of, pieces)), wrong


class _Lacking(Exception):  # does not leave this file
    """A file is not there, or ends too early."""


class _Files:
    """The content of a torrent, read from the files it lies in, with one of them open at a time."""

    def __init__(self, info: Info, found: Sequence[Found]) -> None:
        self._files = [file for file in info.files if file.length]
        self._starts = [file.offset for file in self._files]
        self._found = found
        self._open = -1
        self._fd = -1

    def read(self, offset: int, length: int, buffer: memoryview) -> Iterator[memoryview]:
        """The bytes of [offset, offset + length), in the buffer, part by part. Raises OSError and _Lacking."""
        for file, place, count in self._extents(offset, length):
            if file.pad:
                yield memoryview(bytes(count))
                continue
            if file.index != self._open:
                self._switch(file)
            while count:
                got = os.preadv(self._fd, [buffer[:count]], place) if hasattr(os, "preadv") else -1
                if got < 0:
                    os.lseek(self._fd, place, os.SEEK_SET)
                    data = os.read(self._fd, min(count, len(buffer)))
                    got = len(data)
                    buffer[:got] = data
                if not got:
                    raise _Lacking(self._found[file.index].path)
                yield buffer[:got]
                place += got
                count -= got

    def place(self, offset: int, length: int) -> str:
        """The files that hold a range, in words."""
        held = [f"{_shown(file)} offset {place}" for file, place, _ in self._extents(offset, length)]
        return ", ".join(held[:3]) + (f" and {len(held) - 3} more files" if len(held) > 3 else "")

    def close(self) -> None:
        """Let go of the open file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._open = self._fd = -1

    def _switch(self, file: FileEntry) -> None:
        self.close()
        found = self._found[file.index]
        if not found.length:
            raise _Lacking(found.path)
        try:
            self._fd = os.open(found.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise _Lacking(found.path) from None
        self._open = file.index

    def _extents(self, offset: int, length: int) -> Iterator[tuple[FileEntry, int, int]]:
        end = offset + length
        at = bisect_right(self._starts, offset) - 1
        while offset < end:
            file = self._files[at]
            place = offset - file.offset
            count = min(end - offset, file.length - place)
            yield file, place, count
            offset += count
            at += 1


def _shown(file: FileEntry) -> str:
    return printable("/".join(file.path))


def _report(info: Info, found: Sequence[Found], wrong: Sequence[Wrong], quiet: bool) -> int:
    faulty = [(file, where) for file, where in zip(info.files, found, strict=True) if where.fault]
    if not quiet:
        for file, where in faulty:
            print(f"{_shown(file)}: {where.fault}")
        for one in wrong:
            if not one.missing:
                print(f"piece {one.piece} is wrong ({one.reason})")
    missing = sum(one.missing for one in wrong)
    total = info.geometry.piece_count
    verdict = f"{info.name}: {total - len(wrong)} of {words.counted(total, 'piece')} are right"
    if wrong:
        verdict += f", {len(wrong) - missing} wrong, {missing} missing"
    if not wrong and not faulty:
        if not quiet:
            print(verdict)
        return 0
    raise InputRefused(verdict)
