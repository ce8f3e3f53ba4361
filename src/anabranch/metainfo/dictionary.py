"""The info dictionary of a new torrent.

Source: BEP 3, BEP 27 (private), BEP 47 (attributes, pad files), BEP 52 (file tree). The same content gives the same
bytes in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from anabranch.bencode import encode

from .layout import ContentFile, Layout

_Entry = dict[str, object]


def info_dictionary(
    name: str,
    layout: Layout,
    *,
    piece_hashes: bytes,
    roots: Sequence[bytes],
    private: bool,
    source: str,
) -> bytes:
    """The bencoded info dictionary of a new torrent.

    Args:
        name: Of the file or folder.
        layout: Its files and pieces.
        piece_hashes: SHA-1 of every piece, 20 bytes each; not used for v2.
        roots: Of every file its hash tree's root, empty for a file without content; not used for v1.
        private: See Info; as the number 1, and left out when false (BEP 27).
        source: See Info; left out when empty.
    """
    info: _Entry = {"name": name, "piece length": layout.piece_length}
    if layout.version != "v1":
        info["meta version"] = 2
        info["file tree"] = _file_tree(name, layout.files, roots)
    if layout.version != "v2":
        info["pieces"] = piece_hashes
        if layout.single:
            info |= _measures(layout.files[0])
        else:
            info["files"] = list(_file_list(layout))
    if private:
        info["private"] = 1
    if source:
        info["source"] = source
    return encode(info)


def _file_list(layout: Layout) -> Iterator[_Entry]:
    """Pad files are named as libtorrent names them, by their length."""
    for file in layout.files:
        yield {**_measures(file), "path": file.path}
        if pad := layout.pad_behind(file):
            yield {"attr": "p", "length": pad, "path": [".pad", str(pad)]}


def _file_tree(name: str, files: Sequence[ContentFile], roots: Sequence[bytes]) -> _Entry:
    tree: dict[str, Any] = {}  # dictionaries in dictionaries, as deep as the folders
    for file, root in zip(files, roots, strict=True):
        here = tree
        for component in file.path or (name,):
            here = here.setdefault(component, {})
        here[""] = {**_measures(file), "pieces root": root} if root else _measures(file)
    return tree


def _measures(file: ContentFile) -> _Entry:
    attributes = ("h" if file.hidden else "") + ("x" if file.executable else "")
    return {"attr": attributes, "length": file.length} if attributes else {"length": file.length}
