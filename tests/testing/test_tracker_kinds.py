"""Every kind of tracker: a table that says what a client should tell of each."""

from __future__ import annotations

import re

from anabranch.testing import TRACKER_KINDS
from anabranch.testing.tracker_talk import Nowhere, OverHttp, OverTcp, OverTls, OverUdp, Shut
from anabranch.tracker import ErrorType

OURS = {ErrorType.CLIENT_CLOSED, ErrorType.CANCELLED, ErrorType.UNKNOWN_ERROR}  # no tracker makes these


def test_every_category_that_a_tracker_can_cause_has_a_kind() -> None:
    """And some trackers work."""
    told = {kind.error_type for kind in TRACKER_KINDS.values()}
    assert told == {None, *(set(ErrorType) - OURS)}


def test_every_way_to_serve_has_kinds() -> None:
    """HTTP, TLS, UDP, WebSocket, shut ports and names."""
    ways = {type(kind.serves) for kind in TRACKER_KINDS.values()}
    assert ways == {OverHttp, OverTls, OverTcp, OverUdp, Shut, Nowhere}
    assert {kind.serves.scheme for kind in TRACKER_KINDS.values() if isinstance(kind.serves, OverTcp)} == {
        *("http", "https", "ws", "wss"),
    }


def test_a_kind_says_what_it_does_in_a_line() -> None:
    """Its name is a part of a URL's path, and what is expected of its words is looked for in small letters."""
    for name, kind in TRACKER_KINDS.items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)
        assert kind.about.isprintable(), name
        assert 0 < len(kind.about) < 100, name
        assert kind.words == kind.words.lower(), name
        assert not (kind.works and kind.words), name
