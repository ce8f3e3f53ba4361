"""Data that is on disk under names that we would not give."""

from __future__ import annotations

from pathlib import Path

from anabranch.metainfo import Metainfo, create, where_found


def a_folder(root: Path, names: list[str]) -> Path:
    folder = root / "set"
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 10)
    return folder


def test_what_we_make_a_torrent_of_is_found_again_under_its_names(tmp_path: Path) -> None:
    """Names that other systems cannot have are renamed on loading, but not away from the files that have them."""
    names = ["aux.c", "A.txt", "a.txt", "S.H.I.E.L.D./x", "plain"]
    folder = a_folder(tmp_path, names)
    info = Metainfo.parse(create(folder)).info
    assert {"/".join(file.path[1:]) for file in info.files} != set(names)
    assert {"/".join(file.path[1:]) for file in where_found(info, tmp_path).files} == set(names)


def test_elsewhere_the_safe_names_stay(tmp_path: Path) -> None:
    """Where nothing is on disk, the safe names are what is written."""
    info = Metainfo.parse(create(a_folder(tmp_path, ["aux.c", "plain"]))).info
    assert where_found(info, tmp_path / "empty") == info
    assert [file.path for file in where_found(info, tmp_path / "empty").files] == [file.path for file in info.files]


def test_a_symbolic_link_is_no_file_of_ours(tmp_path: Path) -> None:
    """Whoever can put a link into the data directory gets nothing read through it."""
    folder = a_folder(tmp_path, ["aux.c", "plain"])
    info = Metainfo.parse(create(folder)).info
    (folder / "aux.c").unlink()
    (folder / "aux.c").symlink_to("/etc/hostname")
    assert where_found(info, tmp_path).files[0].path == info.files[0].path


def test_names_that_lead_out_are_never_looked_for(tmp_path: Path) -> None:
    """A torrent may name what it likes; ".." is nobody's file."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    raw = (
        b"d4:infod5:filesld6:lengthi6e4:pathl2:..6:secreteee4:name1:n12:piece lengthi16384e6:pieces20:"
        + bytes(20)
        + b"ee"
    )
    info = Metainfo.parse(raw).info
    assert where_found(info, data).files[0].path == info.files[0].path == ("n", "_", "secret")
