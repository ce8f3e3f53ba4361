"""Whose addresses are asked for."""

from __future__ import annotations

import asyncio

import pytest

from anabranch.engine.config import Config
from anabranch.engine.names_io import FamilyNames
from anabranch.model import Address
from anabranch.net import Names


@pytest.mark.parametrize("family", ["disable_ipv4", "disable_ipv6"])
def test_addresses_of_a_family_that_we_do_not_speak_are_left_out(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For web seeds and trackers as for peers."""

    async def both(host: str, port: int) -> list[Address]:
        return [Address("127.0.0.1", port), Address("::1", port)]

    monkeypatch.setattr(Names, "resolve", lambda names, host, port: both(host, port))
    config = Config(disable_ipv4=family == "disable_ipv4", disable_ipv6=family == "disable_ipv6")
    [found] = asyncio.run(FamilyNames(config).resolve("one.test", 80))
    assert found.is_v6 == (family == "disable_ipv4")
