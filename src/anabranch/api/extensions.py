"""The user's own extensions of the peer protocol (BEP 10): messages that programs send each other through peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from anabranch.engine import Core, TorrentState, register_extension, unregister_extension
from anabranch.model import Address, InputRefused

from .torrent import Torrent

Handler: TypeAlias = Callable[[Torrent, Address, bytes], object]


class Extensions:
    """What a client takes messages of. See Torrent.send_extension() for sending them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def names(self) -> list[str]:
        """Those that have a handler, in the order in which they were first registered."""
        with self._core.turn:
            return list(self._core.engine.workshop.extensions.named)

    def register(self, name: str, handler: Handler) -> Callable[[], None]:
        """Take messages of an extension from now on; peers are told, those that are connected, too.

        Args:
            name: What programs call it among each other, 1 to 64 bytes; by custom two letters for the program and an
                underscore come first. Names that the engine uses itself are refused.
            handler: Called with the torrent, the peer's address and the message, in the order in which they came, on
                the thread that runs on_event() callbacks. It may call anything of the client. What it raises is logged.
                Where it cannot keep up, 64 messages of a peer wait, and those that come beyond are dropped. Peers may
                send some 8 KiB/s beside blocks, and 128 KiB in one message.

        Returns:
            How to stop that.

        Raises:
            InputRefused: the name cannot be used, or has a handler already.
        """
        core = self._core
        if not callable(handler):
            raise InputRefused(f"a handler is a function: {handler!r}")

        def hand_over(state: TorrentState, peer: Address, payload: bytes) -> None:
            handler(Torrent(core, state), peer, payload)

        with core.turn:
            register_extension(core.engine, name, hand_over)

        def stop() -> None:
            with core.turn:
                unregister_extension(core.engine, name, hand_over)

        return stop
