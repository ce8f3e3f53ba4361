"""Holes in files, on the file system that the tests are on."""

from __future__ import annotations

import os
from pathlib import Path

from anabranch.storage.folder_io import Folder
from anabranch.storage.holes_io import BLOCKS, block_size, punch


def test_a_hole_takes_no_space_and_its_neighbours_stay(tmp_path: Path) -> None:
    """The file keeps its size, and reads as zeros there."""
    block = block_size(Folder(tmp_path))
    assert block in BLOCKS
    assert list(tmp_path.iterdir()) == [], "the file that it was tried on is gone"
    file = tmp_path / "file"
    file.write_bytes(b"x" * 5 * block)
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
        before = file.stat().st_blocks
        punch(opened.fileno(), block, 3 * block)
        os.fsync(opened.fileno())
    assert file.read_bytes() == b"x" * block + bytes(3 * block) + b"x" * block
    assert (before - file.stat().st_blocks) * 512 == 3 * block
