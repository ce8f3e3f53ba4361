"""Right bytes from disk and from memory."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from anabranch.metainfo import Metainfo, create
from anabranch.testing import content_in, content_of

FILES = {"a.bin": b"a" * 20000, "empty": b"", "sub/b.bin": bytes(range(256)) * 200}


def made(folder: Path) -> tuple[Metainfo, bytes]:
    """A torrent of FILES below *folder*, and its content."""
    for name, data in FILES.items():
        path = folder / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    metainfo = Metainfo.parse(create(folder / "top", piece_length=16384))
    return metainfo, b"".join(folder.joinpath(*file.path).read_bytes() for file in metainfo.info.files)


def test_bytes_come_from_the_files_they_are_in(tmp_path: Path) -> None:
    """Across files, over empty ones, and at any place."""
    metainfo, whole = made(tmp_path)
    on_disk, in_memory = content_in(metainfo.info, tmp_path), content_of(metainfo.info, whole)

    @given(st.data())
    def any_place_agrees(data: st.DataObject) -> None:
        piece = data.draw(st.integers(0, metainfo.info.geometry.piece_count - 1))
        begin = data.draw(st.integers(0, metainfo.info.geometry.length_of(piece) - 1))
        length = data.draw(st.integers(1, metainfo.info.geometry.length_of(piece) - begin))
        start = metainfo.info.geometry.offset_of(piece) + begin
        assert on_disk(piece, begin, length) == in_memory(piece, begin, length) == whole[start : start + length]

    any_place_agrees()


def test_what_is_not_on_disk_reads_as_zeros(tmp_path: Path) -> None:
    """A peer may lie about what it has not."""
    metainfo, _ = made(tmp_path)
    (tmp_path / "top" / "a.bin").unlink()
    read = content_in(metainfo.info, tmp_path)
    assert read(0, 0, 100) == bytes(100)
