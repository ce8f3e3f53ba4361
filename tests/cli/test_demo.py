"""The demonstration, with less data than people see."""

from __future__ import annotations

from pathlib import Path

from programs import run


def test_the_demo_proves_what_it_shows(tmp_path: Path) -> None:
    """Both sides are compared file by file; the exit code says the verdict."""
    done = run(tmp_path, "demo", "--size", "3M")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("  equal  ") == 5
    assert "SHA-256 of 5 of 5 files is the same on both sides" in done.stdout
    assert "s per GiB" in done.stdout
