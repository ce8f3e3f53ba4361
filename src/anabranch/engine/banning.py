"""Who sent the bad block: smart ban, which never bans the innocent.

When a piece fails its hash and one peer sent all of it, that peer is guilty. When several did, the digests of their
blocks are kept until the piece passes; then whoever had sent a block that differs from the good one is guilty, and
nobody else. Evidence is bounded: the oldest is forgotten. Where the v2 hashes of a piece's blocks are known, no good
copy is waited for.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from anabranch.net import Blocklist
from anabranch.picker import Run

_MOST_PIECES = 256  # failed pieces to keep evidence of, per torrent
_MOST_ROUNDS = 8  # failures of the same piece to keep


class Banned(set[str]):
    """The hosts that are not spoken to: those that were found out, and whom the user blocks.

    Attributes:
        blocked: Whom the user blocks. They are "in" this set, and not among its elements.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocked: Blocklist | None = None

    def __contains__(self, host: object) -> bool:
        blocked = self.blocked
        return super().__contains__(host) or (blocked is not None and isinstance(host, str) and host in blocked)


def only_sender(shares: Sequence[tuple[Run, str]], blocks: int) -> set[str]:
    """The host that sent all of a piece's blocks; none where there were several, or some were on disk before."""
    hosts = {host for _, host in shares}
    return hosts if len(hosts) == 1 and sum(run.blocks for run, _ in shares) >= blocks else set()


def senders_of(blocks: Container[int], shares: Sequence[tuple[Run, str]]) -> set[str]:
    """The hosts that sent any of these blocks."""
    return {host for run, host in shares if any(run.first + at in blocks for at in range(run.blocks))}


@dataclass(frozen=True, slots=True)
class _Statement:
    host: str
    block: int
    digest: bytes


@dataclass(slots=True)
class Repeated:
    """How often a piece was wrong since it was right last (hopeless.py).

    Attributes:
        times: As it came.
        hosts: Who sent any of it.
        same: The digest of all of it, which was the same each time; None: it was not.
        until: It is not asked for before; 0.0: it may be.
        mended: Times that the disk has changed it.
        owner: Who is asked for it now, once it came from several (parole.py).
    """

    times: int = 0
    hosts: set[str] = field(default_factory=set)
    same: bytes | None = None
    until: float = 0.0
    mended: int = 0
    owner: str = ""

    def add(self, hosts: Iterable[str], digest: bytes) -> None:
        """It was wrong once more."""
        self.same = digest if not self.times or self.same == digest else None
        self.times += 1
        self.hosts.update(hosts)


@dataclass(slots=True)
class Evidence:
    """What was received for pieces that failed, of one torrent."""

    repeated: dict[int, Repeated] = field(default_factory=dict)
    _of_piece: dict[int, list[list[_Statement]]] = field(default_factory=dict)

    def __contains__(self, piece: int) -> bool:
        return piece in self._of_piece

    def failed(self, piece: int, shares: Sequence[tuple[Run, str]], digests: Sequence[bytes]) -> set[str]:
        """A piece failed its hash.

        Args:
            piece: Its index.
            shares: Which blocks came from which host; blocks that were on disk before are in no share.
            digests: The digest of each block as it was received.

        Returns:
            The hosts that are guilty beyond doubt: the only sender of the whole piece.
        """
        hosts = only_sender(shares, len(digests))
        if hosts:
            return hosts
        statements = [
            _Statement(host, block, digests[block])
            for run, host in shares
            for block in range(run.first, run.first + run.blocks)
        ]
        rounds = self._of_piece.setdefault(piece, [])
        rounds.append(statements)
        del rounds[:-_MOST_ROUNDS]
        while len(self._of_piece) > _MOST_PIECES:
            del self._of_piece[next(iter(self._of_piece))]
        return set()

    def passed(self, piece: int, digests: Sequence[bytes]) -> set[str]:
        """The piece passed its hash; its blocks have these digests. Answers the hosts that had sent others."""
        rounds = self._of_piece.pop(piece, [])
        return {one.host for statements in rounds for one in statements if digests[one.block] != one.digest}

    def forget(self, piece: int) -> None:
        """The piece came from elsewhere (a check of the disk): the evidence cannot be weighed."""
        self._of_piece.pop(piece, None)
        self.repeated.pop(piece, None)
