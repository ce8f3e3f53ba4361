"""What a torrent can be added by."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from anabranch.engine import Config, tls_context, torrent_at
from anabranch.metainfo import Magnet, Metainfo, MetainfoError, load, names_no_file
from anabranch.model import InfoHash, InfoHashV2, InputRefused, Misused, TorrentError
from anabranch.net import parse_url

Source = str | os.PathLike[str] | bytes | InfoHash | InfoHashV2 | Metainfo | Magnet


def resolve(source: Source, config: Config | None = None) -> Metainfo | Magnet:
    """Read what *source* is, holds or names; of a URL, what is there. A file that is called like a hash is a file.

    Args:
        source: What a torrent can be added by.
        config: Whose: says who asks for a URL, from which address, through which proxy, and whom it believes. The
            defaults where none is given.

    Raises:
        InputRefused: it is no torrent, or cannot be read. Of a URL the text has no more than the host: the rest may be
            secret.
        Misused: it is a URL, and the caller a task: its loop would have to wait.
    """
    match source:
        case Metainfo() | Magnet():
            return source
        case InfoHash():
            return Magnet(v1=source)
        case InfoHashV2():
            return Magnet(v2=source)
        case bytes():
            return Metainfo.parse(source)
    text = os.fspath(source)
    if names_no_file(text) and not Path(text).exists():
        return _named(text, config or Config())
    return load(text)


def _named(text: str, config: Config) -> Metainfo | Magnet:
    if text.lower().startswith(("http://", "https://")):
        return _fetched(text, config)
    if text.lower().startswith("magnet:"):
        return Magnet.parse(text)
    return Magnet.parse(f"magnet:?xt=urn:{f'btmh:1220{text}' if len(text) == 64 else f'btih:{text}'}")


def _fetched(url: str, config: Config) -> Metainfo:
    """The .torrent file at a URL. Waits for it."""
    with suppress(RuntimeError):  # there is no loop here: good
        asyncio.get_running_loop()
        raise Misused("a URL is waited for: in a task, use await asyncio.to_thread(client.add, url)")
    try:
        place = parse_url(url, ("http", "https"))
    except UnicodeError as bad:  # it came from a shell, which gives what is no text as it is
        raise InputRefused("not a URL: it is no text") from bad
    tls = tls_context(config.ca_file)
    try:
        return Metainfo.parse(asyncio.run(torrent_at(url, config, tls, trusted=True)))
    except MetainfoError as bad:
        raise MetainfoError(f"{place}: {bad}") from bad
    except TorrentError as refusal:
        raise InputRefused(f"{place}: {refusal}") from refusal
