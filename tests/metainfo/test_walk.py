"""Finding the content of a new torrent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anabranch.metainfo import MetainfoError
from anabranch.metainfo.layout import ContentFile
from anabranch.metainfo.walk_io import content_of, is_unchanged


def found(path: Path) -> dict[tuple[str, ...], int]:
    return {file.path: file.length for file in content_of(str(path), lambda: None, 98)}


def test_a_folder_is_walked_with_hidden_and_empty_files(tmp_path: Path) -> None:
    (tmp_path / "a" / ".b").mkdir(parents=True)
    (tmp_path / "a" / ".b" / "c").write_bytes(b"123")
    (tmp_path / ".hidden").write_bytes(b"")
    assert found(tmp_path) == {("a", ".b", "c"): 3, (".hidden",): 0}
    assert found(tmp_path / "a" / ".b" / "c") == {(): 3}


def test_symbolic_links_are_what_they_point_to(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "f").write_bytes(b"12")
    (top / "x").symlink_to(tmp_path / "folder" / "f")
    (top / "y").symlink_to(tmp_path / "folder")
    (top / "z").symlink_to(tmp_path / "folder")
    assert found(top) == {("x",): 2, ("y", "f"): 2, ("z", "f"): 2}


def test_links_without_an_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "up").symlink_to(tmp_path)
    with pytest.raises(MetainfoError, match="up: a symbolic link to a folder around it"):
        found(tmp_path)
    (tmp_path / "d" / "up").unlink()
    (tmp_path / "self").symlink_to("self")
    with pytest.raises(MetainfoError, match="self: a symbolic link that leads nowhere"):
        found(tmp_path)


def test_broken_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nothing")
    with pytest.raises(MetainfoError, match=r"gone: a symbolic link that leads nowhere \(No such file or directory\)"):
        found(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MetainfoError, match="pipe: neither a file nor a folder"):
        found(tmp_path)


def test_a_name_that_is_no_text_is_refused_in_words_that_can_be_printed(tmp_path: Path) -> None:
    try:
        open(os.fsencode(tmp_path) + b"/a\xff", "w").close()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    with pytest.raises(MetainfoError, match=r"a\\udcff: a name that is not UTF-8"):
        found(tmp_path)


def test_what_is_not_there_is_told_in_the_systems_words(tmp_path: Path) -> None:
    with pytest.raises(MetainfoError, match="none: No such file or directory"):
        found(tmp_path / "none")
    with pytest.raises(MetainfoError, match="null"):
        found(Path("a\0b"))


def test_folders_too_deep_to_be_loaded_again_are_refused(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"d" * 98)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"1")
    assert list(found(tmp_path)) == [("d",) * 98 + ("f",)]
    (deep / "d").mkdir()
    with pytest.raises(MetainfoError, match="more than 98 folders deep"):
        found(tmp_path)
    with pytest.raises(MetainfoError, match="more than 3 folders deep"):
        content_of(str(tmp_path), lambda: None, 3)


def test_a_file_is_executable_if_its_owner_may_run_it(tmp_path: Path) -> None:
    """As libtorrent has it. A dot in front of a name is no attribute, and a link is what it leads to."""
    for name, mode in (("plain", 0o644), ("owner", 0o744), ("others", 0o611), (".dot", 0o600)):
        (tmp_path / name).write_bytes(b"1")
        (tmp_path / name).chmod(mode)
    (tmp_path / "link").symlink_to("owner")
    files = content_of(str(tmp_path), lambda: None, 98)
    assert {file.path[0] for file in files if file.executable} == {"owner", "link"}
    assert not any(file.hidden for file in files)


def test_a_change_is_noticed_by_length_or_time(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"123")
    (file,) = content_of(str(path), lambda: None, 98)
    assert is_unchanged(str(path), file)
    assert not is_unchanged(str(path), ContentFile((), 2, file.modified))
    os.utime(path, ns=(file.modified + 1_000_000_000,) * 2)
    assert not is_unchanged(str(path), file)
    path.unlink()
    with pytest.raises(MetainfoError, match="No such file"):
        is_unchanged(str(path), file)
