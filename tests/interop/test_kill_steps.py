"""Killed at each single step: strace ends the program at the n-th system call that changes the disk, for every n.

Also within SQLite's own steps, which nothing in Python could stand between.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from anabranch.model import InfoHash, StorageFailed
from anabranch.storage import Completion, FileStorage, SessionStore, SqliteStorage, TorrentStorage, session_key
from storage.small_torrents import SmallTorrent, named, torrent

pytestmark = pytest.mark.interop

CALLS = "pwritev,pwritev2,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,mkdir,mkdirat"
SMALL = torrent(40_000, named("folder/one", 60_000), named("folder/two", 60_000))
NAME = InfoHash(bytes(20))


def opened(kind: str, folder: Path) -> tuple[TorrentStorage, SessionStore | None]:
    """The storage of that kind, as a program would open it."""
    if kind == "sqlite":
        return SqliteStorage(folder / "data" / "pieces.sqlite").open(SMALL, NAME), None
    sessions = SessionStore(folder / "state")
    key = session_key(NAME, folder / "data")
    return FileStorage(folder / "data", lambda _: sessions.completion(key)).open(SMALL, NAME), sessions


def live(kind: str, folder: Path) -> None:
    """The life of a torrent; says what is recorded complete, after it is."""
    storage, sessions = opened(kind, folder)

    def say(*complete: int) -> None:
        print(*complete, flush=True)

    def write(piece: int, content: bytes) -> None:
        for begin in range(0, len(content), 16_384):
            storage.piece(piece).writev(begin, [content[begin : begin + 16_384]])

    write(1, SMALL.of_piece(1))
    storage.piece(1).mark_complete()
    say(1)
    for piece in (0, 2):
        write(piece, SMALL.of_piece(piece))
    storage.record([0, 2])  # type: ignore[attr-defined]  # both have Groups
    say(0, 1, 2)
    say(0, 2)  # from here on piece 1 may go
    write(1, SMALL.of_piece(0))  # the right length, and wrong
    storage.flush()
    storage.piece(1).mark_incomplete()
    write(1, SMALL.of_piece(1))
    storage.piece(1).mark_complete()
    say(0, 1, 2)
    storage.close()
    if sessions is not None:
        sessions.close()


def killed_at(step: int, kind: str, folder: Path) -> tuple[set[int], bool]:
    """Live until the n-th step. Which pieces were said to be recorded last, and whether it lived to the end."""
    folder.mkdir()
    inject = f"inject={CALLS}:signal=KILL:when={step}"
    # -B: Python's own cache of what it compiled is no step.
    command = ["strace", "-f", "-qqq", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", inject]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-m", "interop.test_kill_steps", kind, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("tracing is not permitted here")
    assert done.returncode in (0, -9, 137), done.stderr
    lines = done.stdout.splitlines()
    return set(map(int, lines[-1].split())) if lines else set(), done.returncode == 0


def content_of(storage: TorrentStorage, small: SmallTorrent, piece: int) -> bytes:
    content = bytearray(small.geometry.length_of(piece))
    try:
        storage.piece(piece).readinto(0, content)
    except StorageFailed:
        return b""
    return bytes(content)


@pytest.mark.parametrize("stride", [25, pytest.param(1, marks=[pytest.mark.deep, pytest.mark.timeout(300)])])
@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_no_step_at_which_it_is_killed_leaves_a_wrong_piece_recorded(kind: str, stride: int, tmp_path: Path) -> None:
    """W41: after each of them, what is recorded complete is right, and what was said to be recorded is."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    step, lived = 1, False
    while not lived:
        folder = tmp_path / str(step)
        said, lived = killed_at(step, kind, folder)
        storage, sessions = opened(kind, folder)
        recorded = {piece for piece in range(3) if storage.piece(piece).completion() is Completion.COMPLETE}
        right = {piece for piece in range(3) if content_of(storage, SMALL, piece) == SMALL.of_piece(piece)}
        assert recorded <= right, f"step {step}"
        assert said <= recorded, f"step {step}"
        storage.close()
        if sessions is not None:
            sessions.close()
        shutil.rmtree(folder)
        step += stride
    assert step > 20


if __name__ == "__main__":
    live(sys.argv[1], Path(sys.argv[2]))
