"""The table of pieces against plain sets."""

from __future__ import annotations

from random import Random

from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.pieces import PieceTable
from anabranch.model import Geometry, Priority, all_pieces
from anabranch.picker import PieceProgress, Run

PIECES = 10
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["worth", "complete", "lost", "unknown", "begin", "ask all", "busy", "idle", "have", "sweep"]),
        st.integers(0, PIECES - 1),
        st.sampled_from(list(Priority)),
    ),
    max_size=80,
)


def table_of(pieces: int = PIECES) -> PieceTable:
    table = PieceTable(Geometry(pieces * 32768, 32768), Random(0).randrange)
    table.start(all_pieces(pieces), bitarray(pieces))
    return table


def step(table: PieceTable, what: str, piece: int, priority: Priority) -> None:
    match what:
        case "worth":
            table.set_worth(piece, priority)
        case "complete" if piece not in table.begun:
            table.set_complete(piece, True)
        case "lost":
            table.set_complete(piece, False)
        case "unknown" if piece not in table.begun:
            table.set_unknown(piece)
        case "begin" if piece not in table.busy and not table.complete[piece]:
            table.begun[piece] = PieceProgress(piece, 2, 0.0)
            table.refresh(piece)
        case "ask all" if piece in table.begun:
            table.begun[piece].ask(Run(0, 2))
            table.refresh(piece)
        case "busy":
            table.begun.pop(piece, None)
            table.busy.add(piece)
            table.refresh(piece)
        case "idle":
            table.busy.discard(piece)
            table.refresh(piece)
        case "have":
            table.count_have(piece, 1)
        case "sweep":
            table.replace_worth(piece, bytes([priority]) * (PIECES - piece))
            for one in range(piece, PIECES):
                table.refresh(one)
        case _:
            return


@given(STEPS)
def test_the_order_holds_exactly_what_may_be_asked_for(steps: list[tuple[str, int, Priority]]) -> None:
    """Known, incomplete, wanted, not being hashed, and some block not asked for yet: whatever happens."""
    table = table_of()
    for one in steps:
        step(table, *one)
        due = {
            piece
            for piece in range(PIECES)
            if table.known[piece]
            and not table.complete[piece]
            and table.worth[piece]
            and piece not in table.busy
            and (piece not in table.begun or table.begun[piece].has_free)
        }
        assert set(table.order.scan()) == due
        assert all(table.order.get(piece) == table.standing(piece) for piece in due)


@given(STEPS)
def test_the_counts_are_counts(steps: list[tuple[str, int, Priority]]) -> None:
    """Complete pieces, and those that are wanted and missing."""
    table = table_of()
    for one in steps:
        step(table, *one)
        assert table.complete_count == table.complete.count()
        missing = [piece for piece in range(PIECES) if table.worth[piece] and not table.complete[piece]]
        assert table.missing_wanted == len(missing)
        assert table.is_seed == table.complete.all()


def test_what_is_not_known_is_neither_asked_for_nor_served() -> None:
    """After a failed sync a piece is unknown until it was hashed."""
    table = table_of(2)
    table.set_worth(0, Priority.NORMAL)
    table.set_complete(0, True)
    table.set_unknown(0)
    assert not table.requestable(0)
    assert not table.complete[0]
    assert table.missing_wanted == 1
    assert table.set_complete(0, True)


def test_a_peer_is_interesting_for_what_is_wanted_and_missing() -> None:
    """In the order, or begun, or being hashed; not for what nobody wants any more."""
    table = table_of(4)
    has = bitarray("1000")
    assert not table.interesting(has)
    table.set_worth(0, Priority.NORMAL)
    assert table.interesting(has)
    step(table, "begin", 0, Priority.NONE)
    step(table, "ask all", 0, Priority.NONE)
    assert table.interesting(has)
    assert not table.interesting(~has)
    step(table, "busy", 0, Priority.NONE)
    assert table.interesting(has)
    table.set_worth(0, Priority.NONE)
    assert not table.interesting(has)


def test_what_readers_want_comes_by_index_and_not_by_rarity() -> None:
    """A rare piece at the end of the window is no use to a player."""
    table = table_of(4)
    for piece in range(4):
        table.set_worth(piece, Priority.READAHEAD)
    for piece in (0, 1, 2):
        table.count_have(piece, 3 - piece)
    assert list(table.order.scan()) == [0, 1, 2, 3]


def test_rare_pieces_come_first() -> None:
    """Of what is worth the same."""
    table = table_of(4)
    for piece in range(4):
        table.set_worth(piece, Priority.NORMAL)
        table.count_have(piece, 4 - piece)
    assert list(table.order.scan()) == [3, 2, 1, 0]
