"""From which of our addresses we speak: what the user bound us to, or the system's choice."""

from __future__ import annotations

from collections.abc import Sequence


def source_for(bind: Sequence[str], *, v6: bool) -> str | None:
    """Our own IP address for speaking IPv4 or IPv6.

    Args:
        bind: The addresses that the user allows, none for all.
        v6: Which family.

    Returns:
        An address; the family's unspecified one lets the system choose; None where the user allows none of the
        family: then it must not be spoken at all, or it would go around a VPN.
    """
    if not bind:
        return "::" if v6 else "0.0.0.0"
    return next((host for host in bind if (":" in host) == v6), None)
