"""Where servers are that URLs name: addresses of the families that the client speaks, remembered for a while."""

from __future__ import annotations

from anabranch.model import Address
from anabranch.net import Names

from .config import Config


class FamilyNames:
    """What names mean to a client. Belongs to one loop.

    Args:
        config: Says which family is left out.
    """

    def __init__(self, config: Config) -> None:
        self._left_out = {True: config.disable_ipv6, False: config.disable_ipv4}  # by "is IPv6"
        self._names = Names()

    async def resolve(self, host: str, port: int) -> list[Address]:
        """As Names.resolve(), without the family that is left out; maybe nothing is left.

        Raises:
            NotResolved: the name has no address.
        """
        found = await self._names.resolve(host, port)
        return [one for one in found if not self._left_out[one.is_v6]]

    def forget(self, host: str) -> None:
        """Nobody could be connected to there: it is looked up anew."""
        self._names.forget(host)
