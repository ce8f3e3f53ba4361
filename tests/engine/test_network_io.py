"""The network thread, as others see it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from anabranch.api import Client
from ours import make_client


def test_a_thread_that_gets_the_number_of_the_one_that_ended_is_not_taken_for_it(tmp_path: Path) -> None:
    """The system gives a thread's number to the next one: a second close(), from a new thread, is no misuse."""
    clients: list[Client] = []
    for _ in range(3):
        with make_client(tmp_path, "127.0.7.3") as client:
            clients.append(client)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda number: clients[number % 3].close(), range(24)))
