"""What the tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anabranch.api import Client
from loops import LOOPS, Run, runs_in
from origin import Origin, seeded
from ours import make_client


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """Who has everything."""
    with seeded(tmp_path_factory.mktemp("origin")) as origin:
        yield origin


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Runs a coroutine, in each kind of loop."""
    return runs_in(request.param)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Who has nothing yet."""
    with make_client(tmp_path, "127.0.7.2") as client:
        yield client
