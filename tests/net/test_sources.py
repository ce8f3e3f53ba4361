"""From which address we speak."""

from __future__ import annotations

from anabranch.net import source_for


def test_who_is_bound_to_nothing_speaks_from_anywhere() -> None:
    """The unspecified address lets the system choose."""
    assert source_for((), v6=False) == "0.0.0.0"
    assert source_for((), v6=True) == "::"


def test_who_is_bound_speaks_from_there_and_from_nowhere_else() -> None:
    """A family without an address is silent: else traffic would go around a VPN."""
    assert source_for(("192.0.2.1", "192.0.2.2"), v6=False) == "192.0.2.1"
    assert source_for(("192.0.2.1",), v6=True) is None
