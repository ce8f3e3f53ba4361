"""`anabranch verify`: hashes everything a torrent should have on disk and says what is wrong or missing.

Only ever reads: it opens files for reading, under their own names or as NAME.part, and needs neither lock nor state, so
that it may look at what another program is using. Bytes of files that were not selected, which a download keeps aside
for its own use, are not looked at. What is kept otherwise than in files is read through its storage (stored.py).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from anabranch.metainfo import (
    STRETCH_SIZE,
    WARM_SIZE,
    Crew,
    FileEntry,
    Hand,
    Hasher,
    Info,
    PieceLayers,
    are_right,
    due_of,
    load,
    open_to_read,
    printable,
    read_at,
    where_found,
)
from anabranch.model import InputRefused

from . import words
from .interrupt import INTERRUPTED, Interrupt
from .meter import Meter
from .options import check_source

_ZEROS = memoryview(bytes(WARM_SIZE))
_ENDING = ".part"  # what a download calls a file that is not complete


@dataclass(frozen=True, slots=True)
class Found:
    """Where a file is, and how long; *fault* says why it cannot be used whole, "" if it can."""

    path: str
    length: int
    fault: str


class Lacking(Exception):
    """Bytes cannot be had: they, or a file, are *missing*; or the system does not give them."""

    def __init__(self, *, missing: bool) -> None:
        super().__init__()
        self.missing = missing


class Content(Protocol):
    """Where the bytes of a torrent are read. Used by one thread."""

    def read(self, offset: int, view: memoryview) -> None:
        """Fill the view from *offset* on; where there is nothing between two files it goes on in the next.

        Raises:
            Lacking: not all of it can be had.
        """

    def close(self) -> None:
        """Let go of what is open."""


class Subject:
    """What is verified: a torrent, the hashes of its v2 side, and where its files are.

    Args:
        info: The torrent.
        layers: Its v2 hashes, if it has any.
        found: Its files; None where it is not kept in files.
        content: Gives each thread something to read from, which notes by the file's number what is in the way.
    """

    def __init__(
        self,
        info: Info,
        layers: PieceLayers | None,
        found: Sequence[Found] = (),
        content: Callable[[dict[int, str]], Content] | None = None,
    ) -> None:
        self.info = info
        self.layers = layers
        self.found = found
        self.content = content or (lambda faults: _Files(self, faults))
        self._files = [file for file in info.files if file.length]
        self._starts = [file.offset for file in self._files]

    def extents(self, offset: int, length: int) -> Iterator[tuple[FileEntry, int, int]]:
        """Where so many bytes are: files, each with a place in it and a length. A gap between two has no bytes."""
        at = bisect_right(self._starts, offset) - 1
        place = offset - self._starts[at]
        while length:
            file = self._files[at]
            run = min(length, file.length - place)
            yield file, place, run
            length -= run
            place = 0
            at += 1


@dataclass(slots=True)
class Findings:
    """What is not right.

    Attributes:
        wrong: Pieces of other content.
        missing: Pieces for want of a file or its end.
        unreadable: Pieces that the system does not give.
        faults: By the file's number, what is in the way there, in words.
    """

    wrong: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)

    def add(self, others: Findings) -> None:
        """Take in those of another stretch."""
        self.wrong += others.wrong
        self.missing += others.missing
        self.unreadable += others.unreadable
        self.faults = others.faults | self.faults


def verify(source: str, data_dir: str, quiet: bool, storage: str = "file") -> int:
    """Hash everything. Answers the exit code: 0 only if all of it is right; raises TorrentError."""
    check_source(source)
    metainfo = load(source)
    info = metainfo.info
    layers = PieceLayers(info, metainfo.layers) if info.v2 is not None else None
    if layers is not None and info.v1 is None and not layers.complete:
        raise InputRefused(f"{source} has no piece layers: without them nothing of a v2 torrent can be verified")
    if not os.path.isdir(data_dir) and "://" not in storage:
        raise InputRefused(f"{data_dir}: not a directory")
    if storage in ("file", "mmap"):
        info = where_found(info, data_dir)
        return _verify(Subject(info, layers, [look_for(data_dir, info, file) for file in info.files]), quiet)
    from .stored import stored

    with stored(info, metainfo.info.swarm_hashes[0], storage, data_dir) as content:
        return _verify(Subject(info, layers, content=lambda faults: content), quiet)


def _verify(subject: Subject, quiet: bool) -> int:
    info = subject.info
    count = info.geometry.piece_count
    most = max(1, STRETCH_SIZE // info.geometry.piece_length)
    stretches = (range(first, min(first + most, count)) for first in range(0, count, most))
    findings = Findings()
    meter = Meter("verifying", quiet)
    with Interrupt() as interrupt, Crew("anabranch-verify") as crew:
        for come in crew.over(stretches, lambda pieces, hand: check(subject, pieces, hand)):
            if interrupt.seen:
                break
            if come is not None:
                findings.add(come[1])
            meter.update(crew.through, info.geometry.content)
        meter.clear()
        if interrupt.seen:
            return INTERRUPTED
    return _report(subject, findings, quiet)


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


def check(subject: Subject, pieces: range, hand: Hand) -> Findings:
    """Hash some neighbouring pieces."""
    findings = Findings()
    content = subject.content(findings.faults)
    at_once = len(hand.buffer) // subject.info.geometry.piece_length
    try:
        for first in range(pieces.start, pieces.stop, at_once or 1):
            if hand.stopped:
                break
            if at_once:
                _check_some(subject, content, range(first, min(first + at_once, pieces.stop)), hand, findings)
            else:
                _check_one(subject, content, first, hand, findings)
    finally:
        content.close()
    return findings


def _check_some(subject: Subject, content: Content, pieces: range, hand: Hand, findings: Findings) -> None:
    """Hash pieces that the buffer has room for."""
    geometry = subject.info.geometry
    size = sum(map(geometry.length_of, pieces))
    try:
        content.read(geometry.offset_of(pieces.start), hand.buffer[:size])
    except Lacking as lack:
        if len(pieces) == 1:
            (findings.missing if lack.missing else findings.unreadable).append(pieces.start)
            hand.through += size
            return
        for piece in pieces:
            _check_some(subject, content, range(piece, piece + 1), hand, findings)
        return
    right = are_right(hand.buffer[:size], subject.info, subject.layers, pieces)
    if not all(right):
        findings.wrong += [piece for piece, good in zip(pieces, right, strict=True) if not good]
    hand.through += size


def _check_one(subject: Subject, content: Content, piece: int, hand: Hand, findings: Findings) -> None:
    """Hash a piece that is longer than the buffer."""
    geometry = subject.info.geometry
    offset, length = geometry.offset_of(piece), geometry.length_of(piece)
    hasher = Hasher(due_of(subject.info, subject.layers, piece))
    for begin in range(0, length, len(hand.buffer)):
        if hand.stopped:
            return
        view = hand.buffer[: length - begin]
        try:
            content.read(offset + begin, view)
        except Lacking as lack:
            (findings.missing if lack.missing else findings.unreadable).append(piece)
            hand.through += length - begin
            return
        hasher.update(view)
        hand.through += len(view)
    if not hasher.good():
        findings.wrong.append(piece)


class _Files:
    """The content of a torrent, read from the files it lies in, with one of them open at a time.

    What is in the way is noted in *faults*, by the file's number, unless it was known before.
    """

    def __init__(self, subject: Subject, faults: dict[int, str]) -> None:
        self._subject = subject
        self._faults = faults
        self._open = -1
        self._fd = -1
        self._closed_to_us: dict[int, bool] = {}  # files that did not open, and whether they are missing

    def read(self, offset: int, view: memoryview) -> None:
        """See Content."""
        for file, place, length in self._subject.extents(offset, len(view)):
            part, view = view[:length], view[length:]
            if file.pad:
                part[:] = _ZEROS[:length]
                continue
            if file.index != self._open:
                self._switch(file)
            try:
                got = read_at(self._fd, part, place)
                if got < length:
                    size = os.fstat(self._fd).st_size
                    raise self._lacking(file, f"only {min(size, place + got)} of {file.length} bytes", missing=True)
            except OSError as error:
                raise self._lacking(file, f"{error.strerror or error} at offset {place}", missing=False) from None

    def close(self) -> None:
        """Let go of the open file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._open = self._fd = -1

    def _switch(self, file: FileEntry) -> None:
        self.close()
        found = self._subject.found[file.index]
        known = self._closed_to_us.get(file.index, True if not found.length else None)
        if known is not None:
            raise Lacking(missing=known)
        try:
            self._fd = open_to_read(found.path, file.length)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            self._closed_to_us[file.index] = missing
            reason = "missing" if missing else error.strerror or str(error)
            raise self._lacking(file, reason, missing=missing) from None
        self._open = file.index

    def _lacking(self, file: FileEntry, reason: str, *, missing: bool) -> Lacking:
        if not self._subject.found[file.index].fault:
            self._faults.setdefault(file.index, reason)
        return Lacking(missing=missing)


def _shown(file: FileEntry) -> str:
    return printable("/".join(file.path))


def _report(subject: Subject, findings: Findings, quiet: bool) -> int:
    info = subject.info
    faults = {number: where.fault for number, where in enumerate(subject.found) if where.fault} | findings.faults
    if not quiet:
        _tell_faults(info, faults)
        _tell_wrong(subject, sorted(findings.wrong))
    total = info.geometry.piece_count
    wrong, missing, unreadable = map(len, (findings.wrong, findings.missing, findings.unreadable))
    verdict = f"{info.name}: {total - wrong - missing - unreadable} of {words.counted(total, 'piece')} are right"
    if wrong or missing or unreadable:
        verdict += f", {wrong} wrong, {missing} missing" + (f", {unreadable} unreadable" if unreadable else "")
    elif not faults:
        if not quiet:
            print(verdict)
        return 0
    raise InputRefused(verdict)


def _tell_faults(info: Info, faults: Mapping[int, str]) -> None:
    for number, fault in sorted(faults.items()):
        print(f"{_shown(info.files[number])}: {fault}")


def _tell_wrong(subject: Subject, wrong: Iterable[int]) -> None:
    """A line for each run of pieces."""
    geometry = subject.info.geometry
    for _, group in groupby(enumerate(wrong), key=lambda numbered: numbered[1] - numbered[0]):
        run = [piece for _, piece in group]
        length = sum(map(geometry.length_of, run))
        extents = subject.extents(geometry.offset_of(run[0]), length)
        held = [f"{_shown(file)} offset {place}" for file, place, _ in extents]
        places = ", ".join(held[:3]) + (f" and {len(held) - 3} more files" if len(held) > 3 else "")
        which = f"piece {run[0]} is" if len(run) == 1 else f"pieces {run[0]} to {run[-1]} are"
        print(f"{which} wrong ({places})")
