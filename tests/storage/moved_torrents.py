"""A torrent in the middle of its download, and disks that end, fail, or are two, for tests of moving it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from anabranch.storage import Place
from storage.small_torrents import HASH, SmallFile, named, torrent

SMALL = torrent(
    1000,
    named("t/a", 1500),
    named("t/b/c", 700),
    SmallFile((".pad", "300"), 300, pad=True),
    named("t/b/d/empty", 0),
    named("t/e", 70_000),
    named("g", 1),
)
PARTS = f".{HASH}.parts"
STEPS = (
    "open", "replace", "unlink", "mkdir", "rmdir", "fsync", "ftruncate", "pwritev", "copy_file_range", "utime",
    "fchmod",
)  # fmt: skip


def lay(directory: Path) -> Place:
    """A torrent in the middle of its download: complete files, incomplete ones, one that nobody wants."""
    files = {
        "t/a": SMALL.of_file(0),
        "t/b/c.part": SMALL.of_file(1),
        "t/b/d/empty": b"",
        "t/e.part": SMALL.of_file(4)[:50_000],
        PARTS: b"of g",
        f".{HASH}.moving": b"left behind",
    }
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))
    (directory / "t/a").chmod(0o755)
    return Place(str(directory))


MOVED = {
    "t/a": SMALL.of_file(0),
    "t/b/c.part": SMALL.of_file(1),
    "t/b/d/empty": b"",
    "t/e.part": SMALL.of_file(4)[:50_000],
    PARTS: b"of g",
}


def tree_with_directories(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def part(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system say that two directories are on two file systems."""
    replace = os.replace

    def side(fd: int) -> bool:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(here))

    def parted(name: str, to: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if side(src_dir_fd) != side(dst_dir_fd):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        replace(name, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def copy_file_range(*_: int) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "replace", parted)
    monkeypatch.setattr(os, "copy_file_range", copy_file_range)
    assert there


class Killed(BaseException):
    """The process is no more. It is raised by every further step too, so that nothing is tidied up."""


@dataclass
class Steps:
    """Counts what changes the disk, and ends it."""

    left: int = 1 << 30
    end: BaseException = field(default_factory=Killed)
    done: int = 0

    def take(self, work: Callable[..., object], *args: object, **named: object) -> object:
        if self.left <= 0:
            raise self.end
        self.left -= 1
        self.done += 1
        return work(*args, **named)


def count_steps(monkeypatch: pytest.MonkeyPatch, steps: Steps, names: Sequence[str] = STEPS) -> None:
    for name in names:
        work = getattr(os, name)

        def step(*args: object, work: Callable[..., object] = work, name: str = name, **named: object) -> object:
            if name == "open" and not int(str(args[1])) & os.O_CREAT:
                return work(*args, **named)
            return steps.take(work, *args, **named)

        put_in(monkeypatch, name, step)


def put_in(monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[..., object]) -> None:
    """Have a system call made through *call*, which can do what the system's can."""
    for able in ("supports_dir_fd", "supports_fd"):
        if getattr(os, name) in getattr(os, able):
            monkeypatch.setattr(os, able, getattr(os, able) | {call})
    monkeypatch.setattr(os, name, call)
