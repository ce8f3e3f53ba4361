"""`anabranch download` and `anabranch seed`: what each wants of its torrents, says of them, and when it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from anabranch.api import Magnet, Metainfo, Priority, Torrent
from anabranch.metainfo import printable

from . import words
from .fitting import Space
from .interrupt import Interrupt
from .options import Wishes
from .session import CommandFailed, Phase, Session, Watched, load_all
from .views import choose

_NAMES_SHOWN = 10  # files named when a pattern matches none
_ENDLESS = 1 << 62  # bytes


def download(wishes: Wishes) -> int:
    """Fetch torrents. Answers the exit code; raises TorrentError."""
    torrents = load_all(wishes)
    space = Space(wishes)
    for one in torrents:  # a pattern that matches nothing, or too much, is said before anything is begun
        if isinstance(one, Metainfo):
            space.claim(one.info, selection(one, wishes.select))
    ranges = {name: one.select for one in torrents if isinstance(one, Magnet) for name in one.swarm_hashes}

    def ready(watched: Watched) -> None:
        torrent = watched.torrent
        chosen = selection(torrent.metainfo, wishes.select, ranges.get(torrent.info_hash))
        space.claim(torrent.info, chosen)
        files = torrent.info.files
        watched.wanted = sum(file.length for file in files if file.index in chosen and not file.pad)
        torrent.set_priorities(
            [max(file.priority, Priority.NORMAL) if file.index in chosen else Priority.NONE for file in torrent.files]
        )
        torrent.allow_download(True)

    def complete(watched: Watched) -> None:
        took = time.monotonic() - watched.since
        name = watched.torrent.name
        line = f"complete: {name}, {words.size(watched.wanted)}" + (f" in {words.span(took)}" if took >= 1 else "")
        session.view.tell(
            "complete",
            watched.torrent.info_hash,
            f"{line} -> {_where(watched.torrent, wishes.storage)}",
            length=watched.wanted,
            seconds=round(took, 3),
            cpu=round(time.process_time(), 3),
        )

    def ended() -> bool:
        return not wishes.seed and all(one.complete or one.phase is Phase.GIVEN_UP for one in session.watched.values())

    with Interrupt() as interrupt:
        view = choose(as_json=wishes.json, quiet=wishes.quiet)
        try:
            session = Session(wishes, view, interrupt, ready, complete)
            return _run(session, torrents, interrupt, ended, download=True)
        finally:
            view.close()


def _where(torrent: Torrent, storage: str) -> str:
    """What to call the place where a torrent's content is now."""
    if storage in ("file", "mmap"):
        return printable(os.path.join(torrent.data_dir, torrent.info.files[0].path[0]))
    if storage in ("sqlite", "cache"):
        return f"{storage} in {printable(torrent.data_dir)}"
    return printable(storage)


def seed(wishes: Wishes) -> int:
    """Serve what is there of torrents, until interrupted. Answers the exit code; raises TorrentError."""
    if wishes.storage == "cache" and wishes.cache_size is None:
        wishes = replace(wishes, cache_size=_ENDLESS)  # nothing comes in, so nothing need be given up
    torrents = load_all(wishes)

    def ready(watched: Watched) -> None:
        torrent = watched.torrent
        picture = torrent.stats()
        addresses = [str(one) for one in session.client.listen_addresses]
        if picture.pieces and not picture.pieces_complete:
            raise CommandFailed(f"nothing of {picture.name} is in {torrent.data_dir}")
        line = f"seeding {picture.name}" + (f" on {', '.join(addresses)}" if addresses else ", and letting nobody in")
        if picture.pieces_complete < picture.pieces:
            line += f" ({words.percent(picture.pieces_complete, picture.pieces)} of it is here)"
        session.view.tell(
            "seeding",
            picture.info_hash,
            line,
            addresses=addresses,
            pieces=picture.pieces,
            pieces_complete=picture.pieces_complete,
            cpu=round(time.process_time(), 3),
        )

    with Interrupt() as interrupt:
        view = choose(as_json=wishes.json, quiet=wishes.quiet)
        try:
            session = Session(wishes, view, interrupt, ready, lambda watched: None)
            return _run(session, torrents, interrupt, lambda: False, download=False)
        finally:
            view.close()


def _run(
    session: Session,
    torrents: Sequence[Metainfo | Magnet],
    interrupt: Interrupt,
    ended: Callable[[], bool],
    *,
    download: bool,
) -> int:
    try:
        for source in torrents:
            if interrupt.seen:
                break
            session.add(source, download=download, check_first=not download)
        return session.run(ended)
    finally:
        session.close()


def selection(metainfo: Metainfo, patterns: Sequence[str], ranges: Sequence[tuple[int, int]] | None = None) -> set[int]:
    """The numbers of the files that a pattern matches: by the path below the torrent's folder, or the whole path.

    Without patterns, those that a magnet link selects by their numbers (BEP 53), or all.

    Raises:
        CommandFailed: there are patterns or numbers, and no file that they mean.
    """
    files = metainfo.info.files
    if not patterns:
        if ranges is None:
            return {file.index for file in files}
        named = (number for a, b in ranges for number in range(a, min(b + 1, len(files))))
        chosen = {number for number in named if not files[number].pad}
        if not chosen:
            numbers = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges[:_NAMES_SHOWN])
            raise CommandFailed(
                f"{metainfo.info.name}: no file that the link selects is there: {numbers} "
                f"(they are numbered 0 to {len(files) - 1}, padding included)"
            )
        return chosen
    found = {
        file.index
        for file in files
        if not file.pad
        for path in ("/".join(file.path), "/".join(file.path[1:]))
        if any(fnmatchcase(path, pattern) for pattern in patterns)
    }
    if not found:
        names = ["/".join(file.path[1:] or file.path) for file in files if not file.pad]
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        raise CommandFailed(
            f"{metainfo.info.name}: no file matches {' or '.join(patterns)}; "
            f"its files are {', '.join(names[:_NAMES_SHOWN])}{more}"
        )
    return found
