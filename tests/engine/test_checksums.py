"""Whether the disk gives back what it took."""

from __future__ import annotations

from random import Random

import pytest

from anabranch.engine.checksums import Checksums, look_again, sums_of
from anabranch.engine.jobs import Part
from anabranch.metainfo import due_of
from anabranch.model import BLOCK_SIZE
from engine.samples import PlainStorage, sample

CONTENT = sample(pieces=1, blocks=70, cut=99)  # more than is read at a time


def sums_of_all() -> Checksums:
    """Of all blocks as they came, in two parts."""
    view = memoryview(CONTENT.of_piece(0))
    sums = Checksums(70)
    sums.take(sums_of([Part(0, view[: 3 * BLOCK_SIZE])]))
    sums.take(sums_of([Part(3 * BLOCK_SIZE, view[3 * BLOCK_SIZE :])]))
    return sums


@pytest.mark.parametrize("seed", range(5))
def test_exactly_the_blocks_that_the_disk_has_changed_are_found(seed: int) -> None:
    """One flipped bit each, anywhere in them; the piece is wrong then."""
    draw = Random(seed)
    home = PlainStorage()
    home.hold(CONTENT, [0])
    harmed = sorted(draw.sample(range(70), 3))
    for block in harmed:
        place = draw.randrange(block * BLOCK_SIZE, min((block + 1) * BLOCK_SIZE, len(home.data[0])))
        home.data[0][place] ^= 1 << draw.randrange(8)
    storage = home.open(CONTENT.metainfo.info, CONTENT.info_hash)
    due = due_of(CONTENT.metainfo.info, None, 0)
    verdict, changed = look_again(storage, 0, len(home.data[0]), due, sums_of_all())
    assert not verdict.good
    assert list(changed) == harmed
    assert len(verdict.digests) == 70


def test_blocks_of_an_earlier_run_have_no_sum_and_are_no_witness() -> None:
    """Nobody knows how they came."""
    home = PlainStorage()
    home.hold(CONTENT, [0])
    home.data[0][5 * BLOCK_SIZE] ^= 1
    storage = home.open(CONTENT.metainfo.info, CONTENT.info_hash)
    due = due_of(CONTENT.metainfo.info, None, 0)
    verdict, changed = look_again(storage, 0, len(home.data[0]), due, Checksums(70))
    assert not verdict.good
    assert changed == ()


def test_a_piece_that_is_right_at_the_second_look_is_right() -> None:
    """It was the reading that went wrong."""
    home = PlainStorage()
    home.hold(CONTENT, [0])
    storage = home.open(CONTENT.metainfo.info, CONTENT.info_hash)
    found = look_again(storage, 0, len(home.data[0]), due_of(CONTENT.metainfo.info, None, 0), sums_of_all())
    assert found.verdict.good
    assert found.changed == ()
