"""The content that other tests move about."""

from __future__ import annotations

import hashlib
from pathlib import Path

import trees


def test_a_seed_makes_the_same_content_again_and_no_other() -> None:
    """Of any length."""
    for length in (0, 16, 4096, trees.STRIDE - 1, trees.STRIDE, 2 * trees.STRIDE + 5):
        made = b"".join(trees.content(length, seed=7))
        assert len(made) == length
        assert made == b"".join(trees.content(length, seed=7))
        assert not length or made != b"".join(trees.content(length, seed=8))


def test_no_page_of_a_file_comes_twice() -> None:
    """Else a block at the wrong place would pass its hash."""
    made = b"".join(trees.content(5 * trees.STRIDE, seed=1))
    pages = {hashlib.sha1(made[begin : begin + 4096]).digest() for begin in range(0, len(made), 4096)}
    assert len(pages) == len(made) // 4096


def test_a_folder_has_empty_and_large_files_and_unusual_names(tmp_path: Path) -> None:
    """What torrents in the wild have."""
    folder = trees.make_folder(tmp_path / "made", files=40, seed=3, largest=100_000)
    lengths = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert len(lengths) == 40
    assert min(lengths) == 0
    assert max(lengths) == 100_000
    assert (folder / "日本語" / "ファイル.bin").is_file()


def test_a_digest_tells_trees_apart(tmp_path: Path) -> None:
    """By name, by content, and by a file that is missing; a file's digest is its SHA-256."""
    first = trees.make_folder(tmp_path / "first", files=16, largest=10_000)
    second = trees.make_folder(tmp_path / "second", files=16, largest=10_000)
    assert trees.digest(first) == trees.digest(second)
    (second / "plain.bin").rename(second / "other.bin")
    assert trees.digest(first) != trees.digest(second)
    (second / "other.bin").rename(second / "plain.bin")
    with (second / "plain.bin").open("r+b") as file:
        file.write(b"\xff\x00")
    assert trees.digest(first) != trees.digest(second)
    (first / "plain.bin").unlink()
    assert trees.digest(first) != trees.digest(second)
    content = (second / "plain.bin").read_bytes()
    assert trees.digest(second / "plain.bin") == hashlib.sha256(content).hexdigest()
