"""Every way in which trackers behave, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .http_tracker_kinds import HTTP_KINDS
from .line_tracker_kinds import LINE_KINDS
from .tracker_talk import TrackerKind
from .udp_tracker_kinds import UDP_KINDS
from .websocket_tracker_kinds import WEBSOCKET_KINDS

TRACKER_KINDS: Mapping[str, TrackerKind] = MappingProxyType(
    {**HTTP_KINDS, **LINE_KINDS, **UDP_KINDS, **WEBSOCKET_KINDS}
)
