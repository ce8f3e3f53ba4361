"""What a torrent can be added by."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from anabranch.metainfo import MAX_FILE, Magnet, Metainfo, MetainfoError, load, names_no_file
from anabranch.model import InfoHash, InfoHashV2, InputRefused, TorrentError
from anabranch.net import HttpClient, Identity

Source = str | os.PathLike[str] | bytes | InfoHash | InfoHashV2 | Metainfo | Magnet

_PATIENCE = 30.0  # seconds for a .torrent file that comes by URL
_OK = 200


def resolve(source: Source) -> Metainfo | Magnet:
    """Read what *source* is, holds or names; of a URL, what is there. A file that is called like a hash is a file.

    Raises:
        InputRefused: it is no torrent, or cannot be read.
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
        return _named(text)
    return load(text)


def _named(text: str) -> Metainfo | Magnet:
    if text.lower().startswith(("http://", "https://")):
        return _fetched(text)
    if text.lower().startswith("magnet:"):
        return Magnet.parse(text)
    return Magnet.parse(f"magnet:?xt=urn:{f'btmh:1220{text}' if len(text) == 64 else f'btih:{text}'}")


def _fetched(url: str) -> Metainfo:
    """The .torrent file at a URL. Waits for it."""

    async def get() -> tuple[int, bytes]:
        client = HttpClient(Identity().user_agent)
        try:
            reply = await client.get(url, timeout=_PATIENCE, limit=MAX_FILE)
        finally:
            await client.close()
        return reply.status, reply.body

    try:
        status, body = asyncio.run(get())
        if status != _OK:
            raise InputRefused(f"the server answers {status}")
        return Metainfo.parse(body)
    except MetainfoError as bad:
        raise MetainfoError(f"{url}: {bad}") from bad
    except TorrentError as refusal:
        raise InputRefused(f"{url}: {refusal}") from refusal
