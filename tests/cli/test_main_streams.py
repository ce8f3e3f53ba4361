"""The command line without the streams that it usually has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from programs import PATIENCE, command, environment, small_torrent


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="closes streams with a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_error(tmp_path: Path, closed: str) -> None:
    """Services and scripts start programs so; nothing else may take the stream's number."""
    torrent, source = small_torrent(tmp_path)
    wishes: list[list[str | Path]] = [["show", torrent], ["verify", torrent, "-d", source]]
    for words in wishes:
        line = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command(*words)]
        done = subprocess.run(
            line, cwd=tmp_path, env=environment(tmp_path), capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert b"internal error" not in done.stderr
