"""What several of these tests watch."""

from __future__ import annotations

from typing import Any

import pytest

from anabranch.engine.buffers import BufferPool


@pytest.fixture
def most_lent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the pools had lent after each time that they lent anything."""
    lent: list[int] = []
    take = BufferPool.take

    def watched(pool: BufferPool, *words: Any) -> Any:
        buffer = take(pool, *words)
        lent.append(pool.lent)
        return buffer

    monkeypatch.setattr(BufferPool, "take", watched)
    return lent
