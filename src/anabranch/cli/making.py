"""`anabranch create`: a .torrent file for a file or folder, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anabranch.metainfo import CreateCancelled, Metainfo, Version, create
from anabranch.model import StorageFailed

from . import words
from .interrupt import INTERRUPTED, Interrupt
from .meter import Meter
from .show import content_length, file_count, hash_lines


@dataclass(frozen=True)
class Making:
    """What is to be made, as metainfo.create() has it; *output* is a file, a directory, or None for the default."""

    path: str
    output: str | None
    version: Version
    piece_length: int | None
    trackers: Sequence[str]
    webseeds: Sequence[str]
    httpseeds: Sequence[str]
    private: bool
    comment: str
    source: str
    name: str | None
    quiet: bool


def make(making: Making) -> int:
    """Make it. Answers the exit code; raises TorrentError."""
    meter = Meter("hashing", making.quiet)
    with Interrupt() as interrupt:
        try:
            data = create(
                making.path,
                version=making.version,
                piece_length=making.piece_length,
                trackers=making.trackers,
                webseeds=making.webseeds,
                httpseeds=making.httpseeds,
                private=making.private,
                comment=making.comment,
                source=making.source,
                name=making.name,
                progress=meter.update,
                cancelled=lambda: interrupt.seen,
            )
        except CreateCancelled:
            return INTERRUPTED
        finally:
            meter.clear()
        metainfo = Metainfo.parse(data)
        info = metainfo.info
        target = _target(making.output, f"{making.name or os.path.basename(os.path.abspath(making.path))}.torrent")
        write_whole(target, data)
    if not making.quiet:
        print(f"File        {target}")
        print(*hash_lines(info), sep="\n")
        print(f"Pieces      {info.geometry.piece_count} of {words.size(info.geometry.piece_length)}")
        files = words.counted(file_count(info), "file")
        length = content_length(info)
        print(f"Size        {words.size(length)} ({length} bytes), {files}")
    return 0


def write_whole(target: Path, data: bytes) -> None:
    """Put a file there in one step, in place of what was there.

    Raises:
        StorageFailed: the disk said no; what was there is untouched.
    """
    unfinished = target.with_name(f".anabranch-{os.getpid()}.unfinished")
    try:
        try:
            with open(unfinished, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise
    except OSError as error:
        raise StorageFailed(str(target), error.strerror or str(error), error.errno or 0) from error


def _target(output: str | None, default: str) -> Path:
    if output is None:
        return Path(default)
    path = Path(output)
    return path / default if path.is_dir() else path
