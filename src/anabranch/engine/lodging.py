"""Where else a torrent's files shall be, and what has to end before they may go: the state, as it lies.

relocating.py decides; residence_io.py knows where they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from anabranch.storage import Claim, SessionKey

from .signals_io import Signal


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What somebody wants done with a torrent's files.

    Args:
        done: Set when it is done; fails where it cannot be.
        names: New paths below the data directory, by the number of the file.
        key: What the torrent is known by from then on, and so where its files belong; None: as before.
        claim: The right to that; None where nothing is remembered, or the files are there and have it.
        home: The files shall come to where they belong, as the torrent is complete.
    """

    done: Signal
    names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    key: SessionKey | None = None
    claim: Claim | None = None
    home: bool = False

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do but to tell when all that was wished for before is done."""
        return not self.names and self.key is None and not self.home


@dataclass(slots=True)
class Lodging:
    """What is to become of the place where a torrent's files are."""

    wishes: deque[Wish] = field(default_factory=deque)
    jobs: int = 0  # under way on the storage, which is not closed before they are through
    quiet: Callable[[], None] | None = None  # called when there are none any more
    opened: bool = False  # the storage was open before, and is only away while the files move
    forget: bool = False  # at the torrent's end, nothing shall be remembered
    erase: bool = False  # nor anything left of its data

    def call_home(self) -> None:
        """Have the files come to where they belong."""
        if not any(wish.home for wish in self.wishes):
            self.wishes.append(Wish(Signal(), home=True))
