"""A loop whose time is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time stands still until a test moves it."""

    now = 0.0

    def time(self) -> float:
        return self.now


def play(scene: Callable[[VirtualLoop], Awaitable[None]]) -> None:
    """Run a scene on such a loop."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await scene(loop)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())


async def turns(number: int = 5) -> None:
    """Let the loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)
