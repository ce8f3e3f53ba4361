"""What is asked of the DHT."""

from __future__ import annotations

import pytest

from anabranch.dht import Announcing, Operation
from anabranch.model import InputRefused


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_nobody_announces_a_port_that_is_none(port: int) -> None:
    """Nodes refuse it, and peers could not dial it."""
    with pytest.raises(InputRefused, match=f"no port to announce: {port}"):
        Announcing(port)


def test_an_operation_is_cancelled_at_a_time() -> None:
    """The machine has no clock."""
    times: list[float] = []
    Operation(times.append).cancel(5.0)
    assert times == [5.0]
