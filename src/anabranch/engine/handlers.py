"""Which extensions of the user's own there are (BEP 10), and who takes their messages; extending.py acts on it."""

from __future__ import annotations

from collections import Counter as Amounts
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from anabranch.model import Address

from .state import Peer, TorrentState

Handler: TypeAlias = Callable[[TorrentState, Address, bytes], object]
Call: TypeAlias = Callable[..., None]


def _drop(*_: object) -> None:
    """Nobody runs handlers."""


@dataclass(slots=True)
class Extensions:
    """What users take messages of. All of it belongs to whoever holds the turn.

    Attributes:
        call: Runs a function on the hooks' thread.
        numbers: What peers call each by; kept for ever, so that no late message is taken for another's.
        handlers: Who takes them; of a name that is in `numbers` only, nobody does any more.
        waiting, waiting_bytes: Messages that handlers have not seen, of each peer.
        waiting_in_all: Bytes of them, of all peers.
        messages_in_all: Their number.
        unsent: Bytes that are on their way to the connection of each peer.
    """

    call: Call = _drop
    numbers: dict[str, int] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)
    waiting: Amounts[Peer] = field(default_factory=Amounts)
    waiting_bytes: Amounts[Peer] = field(default_factory=Amounts)
    waiting_in_all: int = 0
    messages_in_all: int = 0
    unsent: Amounts[Peer] = field(default_factory=Amounts)

    @property
    def named(self) -> dict[str, int]:
        """Those that somebody takes, by their numbers."""
        return {name: self.numbers[name] for name in self.handlers}

    @property
    def gone(self) -> list[str]:
        """Those that nobody takes any more."""
        return [name for name in self.numbers if name not in self.handlers]
