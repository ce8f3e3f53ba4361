"""The leaves of v2 torrents' trees."""

from __future__ import annotations

import random

import pytest

from anabranch.metainfo import leaves
from anabranch.metainfo.leaves import leaf_digests, leaf_digests_plain
from anabranch.model import BLOCK_SIZE

CONTENT = memoryview(random.Random(4).randbytes(35 * BLOCK_SIZE + 9))
SIZES = [
    0,
    1,
    BLOCK_SIZE - 1,
    *(count * BLOCK_SIZE + more for count in (1, 2, 15, 16, 17, 32, 35) for more in (0, 1, 9)),
]


@pytest.mark.parametrize("size", SIZES)
def test_leaves_are_the_same_by_whatever_means(size: int) -> None:
    """The compiled way against hashlib, its oracle; whole blocks and a short last one."""
    assert leaf_digests(CONTENT[:size]) == leaf_digests_plain(CONTENT[:size])


@pytest.mark.skipif(not leaves.COMPILED, reason="not built here")
@pytest.mark.parametrize("kernels", [(True, True), (True, False), (False, True)])
def test_each_compiled_kernel_is_right(kernels: tuple[bool, bool]) -> None:
    """Sixteen blocks side by side, or one by one with the processor's SHA instructions; also for odd numbers."""
    from anabranch.metainfo import _leaves

    there = _leaves.use(*kernels)
    try:
        if any(there):
            for count in (0, 1, 15, 16, 17, 33, 35):
                data = CONTENT[: count * BLOCK_SIZE]
                assert _leaves.digests_of(data) == leaf_digests_plain(data)
    finally:
        _leaves.use(True, True)


@pytest.mark.skipif(not leaves.COMPILED, reason="not built here")
def test_the_compiled_way_takes_whole_blocks_only() -> None:
    """What is short goes to hashlib; a mistake of ours must not read beyond the end."""
    from anabranch.metainfo import _leaves

    with pytest.raises(ValueError, match="17 bytes are not whole blocks"):
        _leaves.digests_of(bytes(17))
    with pytest.raises(TypeError):
        _leaves.digests_of("text")  # type: ignore[arg-type]  # what the compiler would refuse


def test_without_the_compiled_way_hashlib_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs a compiler."""
    monkeypatch.setattr(leaves, "COMPILED", False)
    assert leaf_digests(CONTENT) == leaf_digests_plain(CONTENT)
