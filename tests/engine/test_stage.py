"""The table of stages, walked."""

from __future__ import annotations

import pytest

from anabranch.engine.stage import MAY_FOLLOW, Checking, Closing, Dropped, Failed, Live, Opening, Stage, follow
from anabranch.model import StorageFailed

EVERY: list[Stage] = [
    Opening(),
    Checking(3),
    Live(),
    Failed(StorageFailed("/data", "full"), 10.0),
    Closing(),
    Dropped(),
]


@pytest.mark.parametrize("before", EVERY, ids=lambda stage: type(stage).__name__)
@pytest.mark.parametrize("after", EVERY, ids=lambda stage: type(stage).__name__)
def test_a_stage_follows_only_where_the_table_says_so(before: Stage, after: Stage) -> None:
    """Anything else is our mistake, and is found at once."""
    if type(after) in MAY_FOLLOW[type(before)]:
        assert follow(before, after) is after
    else:
        with pytest.raises(ValueError, match=f"{type(after).__name__} may not follow {type(before).__name__}"):
            follow(before, after)


def test_every_torrent_can_be_dropped_from_where_it_is_and_nothing_follows() -> None:
    """By way of Closing, from each stage."""
    for stage in EVERY[:4]:
        assert Closing in MAY_FOLLOW[type(stage)]
    assert MAY_FOLLOW[Closing] == {Dropped}
    assert not MAY_FOLLOW[Dropped]
