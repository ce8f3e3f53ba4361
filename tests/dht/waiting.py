"""Waiting for what other tasks and the network make happen, and nobody tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_sleep = asyncio.sleep  # as it was: some tests have others sleep less


async def until(happened: Callable[[], bool]) -> None:
    """Look again and again."""
    while not happened():  # nobody tells of it
        await _sleep(0.001)
