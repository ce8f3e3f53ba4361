"""Where servers are that URLs name: addresses of the families that the client speaks."""

from __future__ import annotations

from anabranch.model import Address
from anabranch.net import resolve_soon

from .config import Config


async def resolve_for(config: Config, host: str, port: int) -> list[Address]:
    """As resolve_soon(), without the family that is left out; maybe nothing is left.

    Raises:
        NotResolved: the name has no address.
    """
    found = await resolve_soon(host, port)
    return [one for one in found if not (config.disable_ipv6 if one.is_v6 else config.disable_ipv4)]
