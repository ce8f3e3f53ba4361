"""Names below a data directory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from anabranch.model import StorageFailed
from anabranch.storage.folder_io import Folder

CREATE = os.O_RDWR | os.O_CREAT


@pytest.fixture(params=["descriptors", "plain"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    if request.param == "plain":
        monkeypatch.setattr(os, "supports_dir_fd", set())
    return Folder(tmp_path / "data")


def test_directories_are_made_only_for_a_file_that_is_made(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed) as failed:
        folder.open(("a", "b", "file"), os.O_RDONLY)
    assert failed.value.errno == errno.ENOENT
    assert list(tmp_path.iterdir()) == []
    assert folder.sizes(("a", "b"), ["file"]) == [None]
    os.close(folder.open(("a", "b", "fïle"), CREATE))
    assert folder.sizes(("a", "b"), ["fïle", "other"]) == [0, None]
    assert (tmp_path / "data" / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "data" / "a" / "b" / "fïle").stat().st_mode & 0o777 == 0o644


def test_a_file_is_renamed_and_removed(folder: Folder, tmp_path: Path) -> None:
    os.close(folder.open(("a", "old"), CREATE))
    folder.rename(("a", "old"), ("b", "new"))
    assert folder.sizes(("b",), ["new"]) == [0]
    folder.remove(("b", "new"))
    folder.remove(("b", "new"))
    assert folder.sizes(("b",), ["new"]) == [None]
    with pytest.raises(StorageFailed, match=r"old: No such file"):
        folder.rename(("a", "old"), ("a", "new"))


def test_a_file_moves_to_another_data_directory(folder: Folder, tmp_path: Path) -> None:
    other = Folder(tmp_path / "other" / "data")
    os.close(folder.open(("a", "old"), CREATE))
    folder.move(("a", "old"), other, ("b", "new"))
    assert (folder.sizes(("a",), ["old"]), other.sizes(("b",), ["new"])) == ([None], [0])
    with pytest.raises(StorageFailed, match=r"a/old: No such file or directory \(moving it to .*other/data/c\)"):
        folder.move(("a", "old"), other, ("c",))


def test_files_of_one_directory_are_removed_but_nothing_else(folder: Folder, tmp_path: Path) -> None:
    """Their bytes are told. What stands behind a link, or is one, is another's."""
    for name in ("x", "y"):
        descriptor = folder.open(("a", name), CREATE)
        os.write(descriptor, b"abc")
        os.close(descriptor)
    (tmp_path / "data" / "a" / "link").symlink_to(tmp_path / "data" / "a" / "y")
    (tmp_path / "data" / "a" / "b").mkdir()
    (tmp_path / "data" / "way").symlink_to(tmp_path / "data" / "a")
    assert folder.remove_files(("way",), ["x"]) == 0
    assert folder.remove_files(("a", "x"), ["x"]) == 0
    assert folder.remove_files(("nowhere", "at all"), ["x"]) == 0
    assert folder.remove_files(("a",), ["x", "link", "b", "none"]) == 3
    assert sorted(os.listdir(tmp_path / "data" / "a")) == ["b", "link", "y"]


def test_directories_are_removed_from_below_if_they_are_empty(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "data" / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "data" / "d" / "e").mkdir(parents=True)
    (tmp_path / "data" / "d" / "mine").write_bytes(b"")
    folder.remove_empty([("a",), ("a", "b"), ("a", "b", "c"), ("d",), ("d", "e"), ("f",)])
    assert {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*")} == {"d", "d/mine"}


def test_a_file_reached_in_two_ways_is_known(folder: Folder, tmp_path: Path) -> None:
    os.close(folder.open(("a", "x"), CREATE))
    (tmp_path / "link").symlink_to(tmp_path / "data")
    os.link(tmp_path / "data" / "a" / "x", tmp_path / "data" / "x")
    assert Folder(tmp_path / "link").identity(("a", "x")) == folder.identity(("a", "x"))
    assert folder.identity(("x",)) != folder.identity(("a", "x"))


def test_a_data_directory_that_is_made_is_durable_with_those_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a loss of power could take with it what sync() has promised."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    folder = Folder(tmp_path / "x" / "y")
    for name in ("a", "b"):
        os.close(folder.open((name,), CREATE))
    assert sorted(synced) == sorted(path.stat().st_ino for path in (tmp_path, tmp_path / "x"))


@pytest.mark.parametrize("linked", ["directory", "file"])
def test_no_symbolic_link_leads_outside(folder: Folder, tmp_path: Path, linked: str) -> None:
    """A link planted below the data directory would let a torrent overwrite any file of the user."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    (tmp_path / "data" / "a").mkdir(parents=True)
    if linked == "directory":
        (tmp_path / "data" / "a" / "b").symlink_to(outside)
    else:
        (tmp_path / "data" / "a" / "b").mkdir()
        (tmp_path / "data" / "a" / "b" / "file").symlink_to(outside / "file")
    for flags in (os.O_RDONLY, CREATE):
        with pytest.raises(StorageFailed, match="is a symbolic link"):
            folder.open(("a", "b", "file"), flags)
    with pytest.raises(StorageFailed, match="is a symbolic link"):
        folder.sizes(("a", "b"), ["file"])
    assert (outside / "file").read_bytes() == b"mine"


def test_the_data_directory_itself_may_be_a_link(folder: Folder, tmp_path: Path) -> None:
    """The user chose it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    os.close(folder.open(("file",), CREATE))
    assert (tmp_path / "elsewhere" / "file").exists()


def test_what_is_not_a_file_is_not_opened(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    os.mkfifo(tmp_path / "data" / "pipe")
    for name in ("a", "pipe"):
        with pytest.raises(StorageFailed, match="is not a regular file"):
            folder.sizes((), [name])
        with pytest.raises(StorageFailed, match="is not a regular file"):
            os.close(folder.open((name,), os.O_RDONLY))


def test_an_error_names_the_whole_path_and_the_systems_words(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"a file")
    with pytest.raises(StorageFailed) as failed:
        os.close(folder.open(("a", "b"), CREATE))
    assert failed.value.errno in (errno.ENOTDIR, errno.EEXIST)
    assert failed.value.path.startswith(str(tmp_path / "data" / "a"))
    assert failed.value.reason == os.strerror(failed.value.errno)


def test_files_of_several_directories_are_looked_for_at_once(folder: Folder) -> None:
    """In their order, and an error is told as of one."""
    os.close(folder.open(("a", "b", "file"), CREATE))
    wanted = {("c", "d"): ["x"], ("a",): ["file"], ("c", "e"): ["y", "z"], ("a", "b"): ["file", "none"], ("c",): ["x"]}
    assert folder.sizes_below(wanted) == [[None], [None], [None, None], [0, None], [None]]
    with pytest.raises(StorageFailed, match="b: is not a regular file"):
        folder.sizes_below({("c",): ["x"], ("a",): ["b"]})


def test_what_is_below_a_missing_directory_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most folders of a torrent that was never downloaded: one failure tells of all of them."""
    folder = Folder(tmp_path / "data")
    opened: list[str] = []
    plainly = os.open

    def note(path: str, *args: int, **kwargs: int) -> int:
        opened.append(os.path.basename(path))
        return plainly(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", note)
    wanted: dict[tuple[str, ...], list[str]] = {("torrent", f"folder {number}"): ["file"] for number in range(10)}
    assert folder.sizes_below(wanted) == [[None]] * 10
    assert opened == ["data"]
    (tmp_path / "data").mkdir()
    assert folder.sizes_below(wanted) == [[None]] * 10
    assert opened == ["data", "data", "torrent"]


def test_each_directory_is_synced_once_after_names_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new name is durable when its directory is; a failed sync stays due."""
    folder = Folder(tmp_path)
    for name in ("x", "y"):
        os.close(folder.open(("a", name), CREATE))
    synced: list[int] = []
    fail = [True]

    def fsync(fd: int) -> None:
        if fail[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        synced.append(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageFailed, match="Input/output error"):
        folder.sync()
    fail[0] = False
    folder.sync()
    folder.sync()
    assert sorted(synced) == sorted(path.stat().st_ino for path in (tmp_path, tmp_path / "a"))
