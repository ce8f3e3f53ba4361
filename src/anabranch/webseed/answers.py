"""What a web seed's answer means, by its head alone: bytes that were asked for, or whose fault it is that they are not.

Source: RFC 9110 (ranges, Retry-After), BEP 17, BEP 19; what servers really do. A wrong answer that is believed would
shift all bytes behind it, so that the pieces were wrong and the server blamed for data that it never had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from anabranch.metainfo import printable
from anabranch.net import Url, without_secrets

from .faults import BadAnswer, FileMissing, TooFast
from .parts import Part

MAX_DISCARD = 48 * 1024  # bytes that are read for nothing rather than to give up a server that knows no ranges
MAX_RETRY_AFTER = 3600.0  # seconds; a server that wants longer is asked again then
_MISSING = frozenset({403, 404, 410, 414, 451})  # not that file, or not for us; others may be there
_TOO_FAST = frozenset({429, 503})
_RANGE = re.compile(r"bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.ASCII | re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,19}", re.ASCII)
_MOST_SAID = 80  # characters of a server's words


class Head(Protocol):
    """The head of an answer, after redirects."""

    @property
    def status(self) -> int:
        """As HTTP has it, of three digits."""

    @property
    def reason(self) -> str:
        """The server's words behind it; may be empty."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By names in lower case."""

    @property
    def length(self) -> int | None:
        """How many bytes the body has as it is sent; None where that is not told."""

    @property
    def url(self) -> Url:
        """Who answered."""


def judge(part: Part, answer: Head) -> int:
    """How many bytes of the answer's body are to be left out; behind them the wanted ones begin.

    Raises:
        TooFast: the server asks for a pause.
        FileMissing: it does not have this file.
        BadAnswer: it gives something else, or nothing for a reason that it should not have.
    """
    if answer.status in (200, 206):
        return _accepted(part, answer)
    said = _said(part.url, answer)
    if answer.status in _TOO_FAST:
        raise TooFast(said, _retry_after(answer))
    if answer.status in _MISSING and part.file >= 0:
        raise FileMissing(f"{said}, asked for file {part.file}", answer.status, part.file)
    if answer.status == 416:
        raise BadAnswer(f"{said}: the file there is shorter than the torrent's")
    raise BadAnswer(said)


def _accepted(part: Part, answer: Head) -> int:
    host = answer.url.host
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise BadAnswer(f"{host} sends the file in another form ({printable(coding[:_MOST_SAID])}), not its bytes")
    if part.file < 0:
        return _left_out_of_piece(part, answer)
    if answer.status == 206:
        _check_range(part, answer)
        return 0
    if part.begin > MAX_DISCARD:
        raise BadAnswer(f"{host} ignores Range: it sends the whole file where the bytes from {part.begin} on are due")
    if answer.length is not None and answer.length < part.begin + part.length:
        raise BadAnswer(f"{host} has {answer.length} bytes where the torrent's file has {part.whole}")
    return part.begin


def _check_range(part: Part, answer: Head) -> None:
    """That a part of a file is the part that was asked for. Nothing is checked that the server does not say."""
    host, last = answer.url.host, part.begin + part.length - 1
    if answer.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise BadAnswer(f"{host} sends one range as several")
    if (said := answer.headers.get("content-range")) is not None:
        found = _RANGE.fullmatch(said.strip())
        if found is None:
            raise BadAnswer(f"{host} does not say readably which bytes it sends")
        if (int(found[1]), int(found[2])) != (part.begin, last):
            raise BadAnswer(f"{host} sends the bytes {found[1]} to {found[2]} where {part.begin} to {last} are due")
        if found[3] not in ("*", str(part.whole)):
            raise BadAnswer(f"{host} has {found[3]} bytes where the torrent's file has {part.whole}")
    if answer.length not in (None, part.length):
        raise BadAnswer(f"{host} sends {answer.length} bytes where {part.length} are due")


def _left_out_of_piece(part: Part, answer: Head) -> int:
    """BEP 17: the body is what was asked for; of a script that knows no ranges it is the whole piece."""
    if answer.length in (None, part.length):
        return 0
    if answer.length == part.whole and part.begin <= MAX_DISCARD:
        return part.begin
    raise BadAnswer(f"{answer.url.host} sends {answer.length} bytes of a piece where {part.length} are due")


def _said(asked: Url | None, answer: Head) -> str:
    """Host, status and the server's own words: cut, printable, and without what is secret in our URLs."""
    words = answer.reason.strip()
    for url in (asked, answer.url):
        words = words if url is None else without_secrets(words, url)
    words = printable(words[:_MOST_SAID])
    return f"{answer.url.host} answers {answer.status} {words}".rstrip()


def _retry_after(answer: Head) -> float | None:
    """Dates are not read: they are of the server's clock."""
    said = answer.headers.get("retry-after", "").strip()
    return min(float(said), MAX_RETRY_AFTER) if _SECONDS.fullmatch(said) else None
