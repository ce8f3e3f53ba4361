"""What reaches the disk before what, seen from below: the system calls of one piece, as strace shows them.

A loss of power keeps what was synced, and of the rest anything or nothing. So the order of the calls is the proof.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

CALLS = "pwritev,pwritev2,pwrite64,write,fsync,fdatasync,rename,renameat,renameat2"
CHILD = """
import sys
from pathlib import Path
from anabranch.model import Geometry, InfoHash
from anabranch.storage import FileStorage, SessionStore, SqliteStorage, session_key
from storage.small_torrents import named, torrent

kind, folder = sys.argv[1], Path(sys.argv[2])
small = torrent(40_000, named("folder/one", 40_000), named("folder/two", 40_000))
name = InfoHash(bytes(20))
if kind == "file":
    sessions = SessionStore(folder / "state")
    home = FileStorage(folder / "data", lambda info_hash: sessions.completion(session_key(info_hash, folder / "data")))
else:
    home = SqliteStorage(folder / "data" / "pieces.sqlite")
storage = home.open(small, name)
print("MARK piece", flush=True)
storage.piece(0).writev(0, [small.of_piece(0)])
print("MARK record", flush=True)
storage.record([0])
print("MARK again", flush=True)
storage.piece(0).writev(0, [small.of_piece(1)])
print("MARK end", flush=True)
"""
SHOWN = {
    "pwritev": "write",
    "pwritev2": "write",
    "pwrite64": "write",
    "fsync": "sync",
    "fdatasync": "sync",
    "renameat": "rename",
    "renameat2": "rename",
}


def traced(kind: str, folder: Path) -> dict[str, list[str]]:
    """Run the child; what it did to which file, by the part that a mark begins."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = folder / "strace"
    command = ["strace", "-f", "-y", "-s", "40", "-e", f"trace={CALLS}", "-o", str(log), sys.executable, "-c", CHILD]
    done = subprocess.run([*command, kind, str(folder)], capture_output=True, text=True, check=False, cwd=_TESTS)
    if "Operation not permitted" in done.stderr:
        pytest.skip("tracing is not permitted here")
    assert done.returncode == 0, done.stderr
    parts: dict[str, list[str]] = {}
    steps: list[str] = []
    for line in log.read_text().splitlines():
        if mark := re.search(r'write\(1<.*"MARK (\w+)', line):
            steps = parts.setdefault(mark[1], [])
        elif call := re.search(rf"(\w+)\(\d+<{re.escape(str(folder))}/?([^>]*)>", line):
            step = f"{SHOWN.get(call[1], call[1])} {call[2]}"
            if step not in steps[-1:]:
                steps.append(step)
    return parts


_TESTS = Path(__file__).parents[1]


def test_files_are_written_then_synced_with_their_directories_then_recorded_then_named(tmp_path: Path) -> None:
    """W41: data, sync, record, name; and before what is complete is overwritten, it is recorded so, durably."""
    parts = traced("file", tmp_path)
    assert parts["piece"] == ["sync ", "write data/folder/one.part"]  # the data directory is made first
    data, *directories = parts["record"][:3]
    assert (data, sorted(directories)) == ("sync data/folder/one.part", ["sync data", "sync data/folder"])
    assert parts["record"][3:] == ["write state/session.db-wal", "rename data/folder"]
    again = parts["again"]
    assert again.index("write data/folder/one.part") > again.index("sync state/session.db-wal")
    assert again.index("sync state/session.db-wal") > again.index("write state/session.db-wal")


def test_a_database_has_its_pieces_synced_when_they_are_recorded(tmp_path: Path) -> None:
    """W41: bytes and record lie in one log, in the order they came; the record is synced with all before it."""
    parts = traced("sqlite", tmp_path)
    log = "data/pieces.sqlite-wal"
    assert set(parts["piece"]) <= {f"write {log}", f"sync {log}", "sync data", "write data/pieces.sqlite"}
    assert f"write {log}" in parts["piece"]
    assert parts["record"][-1] == f"sync {log}"
    assert parts["record"].index(f"write {log}") < len(parts["record"]) - 1
