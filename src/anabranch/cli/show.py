"""`anabranch show`: what a .torrent file says, for people and as JSON. Loads no more than that takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from anabranch.metainfo import Metainfo, load, printable

from . import words
from .options import check_source


def show(source: str, as_json: bool) -> int:
    """Print it. Answers the exit code; raises MetainfoError."""
    check_source(source)
    metainfo = load(source)
    print(json.dumps(facts(metainfo), indent=2) if as_json else "\n".join(lines(metainfo)))
    return 0


def facts(metainfo: Metainfo) -> dict[str, object]:
    """Everything as values for JSON. Lengths in bytes; the date in seconds since 1970."""
    info = metainfo.info
    return {
        "name": info.name,
        "info_hash": str(info.info_hash),
        "info_hash_v2": None,
        "length": info.geometry.total,
        "piece_length": info.geometry.piece_length,
        "pieces": info.geometry.piece_count,
        "private": info.private,
        "source": info.source,
        "comment": metainfo.comment,
        "created_by": metainfo.created_by,
        "creation_date": metainfo.creation_date,
        "trackers": metainfo.trackers,
        "webseeds": metainfo.webseeds,
        "nodes": metainfo.nodes,
        "files": [
            {
                "path": "/".join(file.path),
                "length": file.length,
                "offset": file.offset,
                "pad": file.pad,
                "executable": file.executable,
                "symlink": None if file.symlink is None else "/".join(file.symlink),
            }
            for file in info.files
        ],
        "warnings": metainfo.warnings,
        "renamed": [{"from": original, "to": path} for original, path in info.renamed],
    }


def lines(metainfo: Metainfo) -> Iterator[str]:
    """Everything as lines of text; what a stranger wrote is made printable."""
    info, geometry = metainfo.info, metainfo.info.geometry
    files = [file for file in info.files if not file.pad]
    count = words.counted(len(files), "file") + (" in a folder" if info.multi else "")
    yield _line("Name", info.name)
    yield _line("Info hash", str(info.info_hash))
    yield _line("Size", f"{words.size(geometry.total)} ({geometry.total} bytes), {count}")
    yield _line("Pieces", f"{geometry.piece_count} of {words.size(geometry.piece_length)}")
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
    yield from _list("DHT nodes", [f"{host}:{port}" for host, port in metainfo.nodes])
    yield from _list("Warnings", metainfo.warnings)
    yield from _list("Renamed", [f"{original} -> {path}" for original, path in info.renamed])
    yield "Files"
    for file in files:
        link = "" if file.symlink is None else " -> " + "/".join(file.symlink)
        yield f"  {words.size(file.length):>10}  {printable('/'.join(file.path) + link)}"


def _line(label: str, text: str) -> str:
    return f"{label:<12}{printable(text)}"


def _list(label: str, texts: list[str] | tuple[str, ...]) -> Iterator[str]:
    for text in texts:
        yield _line(label, text)
        label = ""
