"""`anabranch show`: what a .torrent file or magnet link says, for people and as JSON. Loads no more than that takes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime

from anabranch.metainfo import Info, Magnet, Metainfo, load, names_no_file, printable

from . import words
from .options import is_magnet


def show(source: str, as_json: bool) -> int:
    """Print it. Answers the exit code; raises InputRefused."""
    known = _known(source)
    if isinstance(known, Magnet):
        said, told = link_facts(known), link_lines(known)
    else:
        said, told = facts(known), lines(known)
    print(json.dumps(said, indent=2) if as_json else "\n".join(told))
    return 0


def _known(source: str) -> Metainfo | Magnet:
    if is_magnet(source):
        return Magnet.parse(source)
    if not names_no_file(source) or os.path.exists(source):
        return load(source)
    from anabranch.api import resolve  # brings the engine along, which the others are faster without

    return resolve(source)


def content_length(info: Info) -> int:
    """Length of all files in bytes, without what only fills pieces."""
    return sum(file.length for file in info.files if not file.pad)


def file_count(info: Info) -> int:
    """How many files there are, without what only fills pieces."""
    return sum(not file.pad for file in info.files)


def facts(metainfo: Metainfo) -> dict[str, object]:
    """Everything as values for JSON. Lengths in bytes; the date in seconds since 1970."""
    info = metainfo.info
    return {
        "name": info.name,
        **_hash_facts(info),
        "magnet": str(Magnet.of(metainfo)),
        "length": content_length(info),
        "piece_length": info.geometry.piece_length,
        "pieces": info.geometry.piece_count,
        "private": info.private,
        "source": info.source,
        "comment": metainfo.comment,
        "created_by": metainfo.created_by,
        "creation_date": metainfo.creation_date,
        "trackers": metainfo.trackers,
        "webseeds": metainfo.webseeds,
        "httpseeds": metainfo.httpseeds,
        "nodes": metainfo.nodes,
        "similar": [str(info_hash) for info_hash in metainfo.similar],
        "collections": metainfo.collections,
        "files": [
            {
                "path": "/".join(file.path),
                "length": file.length,
                "offset": file.offset,
                "pad": file.pad,
                "executable": file.executable,
                "root": file.root.hex() or None,
                "symlink": None if file.symlink is None else "/".join(file.symlink),
            }
            for file in info.files
        ],
        "warnings": metainfo.warnings,
        "renamed": [{"from": original, "to": path} for original, path in info.renamed],
    }


def lines(metainfo: Metainfo) -> Iterator[str]:
    """Everything as lines of text; what a stranger wrote is made printable."""
    info, length = metainfo.info, content_length(metainfo.info)
    count = words.counted(file_count(info), "file") + (" in a folder" if info.multi else "")
    yield _line("Name", info.name)
    yield from hash_lines(info)
    yield _line("Size", f"{words.size(length)} ({length} bytes), {count}")
    yield _line("Pieces", f"{info.geometry.piece_count} of {words.size(info.geometry.piece_length)}")
    yield _line("Private", "yes: peers come from its trackers only" if info.private else "no")
    if info.source:
        yield _line("Source", info.source)
    if metainfo.comment:
        yield _line("Comment", metainfo.comment)
    if metainfo.creation_date is not None:
        yield _line("Created", datetime.fromtimestamp(metainfo.creation_date, UTC).strftime("%F %T UTC"))
    if metainfo.created_by:
        yield _line("Created by", metainfo.created_by)
    trackers = [f"{tier}. {url}" for tier, urls in enumerate(metainfo.trackers, 1) for url in urls]
    yield from _list("Trackers", trackers or ["none"])
    yield from _list("Web seeds", metainfo.webseeds)
    yield from _list("HTTP seeds", metainfo.httpseeds)
    yield from _list("DHT nodes", [f"{host}:{port}" for host, port in metainfo.nodes])
    yield from _list("Similar to", list(map(str, metainfo.similar)))
    yield from _list("Collections", metainfo.collections)
    yield from _list("Warnings", metainfo.warnings)
    yield from _list("Renamed", [f"{original} -> {path}" for original, path in info.renamed])
    yield _line("Magnet", str(Magnet.of(metainfo)))
    yield "Files"
    for file in info.files:
        if file.pad:
            continue
        link = "" if file.symlink is None else " -> " + "/".join(file.symlink)
        yield f"  {words.size(file.length):>10}  {printable('/'.join(file.path) + link)}"


def link_facts(magnet: Magnet) -> dict[str, object]:
    """What a magnet link says, as values for JSON."""
    return {
        "name": magnet.name,
        **_hash_facts(magnet),
        "magnet": str(magnet),
        "trackers": magnet.trackers,
        "webseeds": magnet.webseeds,
        "sources": magnet.sources,
        "peers": magnet.peers,
        "select": magnet.select,
        "warnings": magnet.warnings,
    }


def link_lines(magnet: Magnet) -> Iterator[str]:
    """What a magnet link says, as lines of text."""
    yield _line("Name", magnet.name or "not said")
    yield from hash_lines(magnet)
    yield from _list("Trackers", magnet.trackers or ("none",))
    yield from _list("Web seeds", magnet.webseeds)
    yield from _list("Sources", magnet.sources)
    yield from _list("Peers", [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in magnet.peers])
    if magnet.select is not None:
        ranges = [str(first) if first == last else f"{first} to {last}" for first, last in magnet.select]
        yield _line("Selected", f"files {', '.join(ranges)}, counted from 0")
    yield from _list("Warnings", magnet.warnings)
    yield _line("Magnet", str(magnet))


def hash_lines(named: Info | Magnet) -> Iterator[str]:
    """The info hashes that there are."""
    if named.v1 is not None:
        yield _line("Info hash", str(named.v1))
    if named.v2 is not None:
        yield _line("v2 hash", str(named.v2))


def _hash_facts(named: Info | Magnet) -> dict[str, object]:
    return {
        "info_hash": str(named.info_hash),
        "info_hash_v1": named.v1 and str(named.v1),
        "info_hash_v2": named.v2 and str(named.v2),
    }


def _line(label: str, text: str) -> str:
    return f"{label:<12}{printable(text)}"


def _list(label: str, texts: list[str] | tuple[str, ...]) -> Iterator[str]:
    for text in texts:
        yield _line(label, text)
        label = ""
