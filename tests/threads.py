"""Calls on threads of their own, whose results and errors are waited for with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from anabranch.api import Client

T = TypeVar("T")

PATIENCE = 20  # seconds until a test gives a thread up; no rule


def background(call: Callable[[], T]) -> Future[T]:
    """Run *call* in a thread that ends with the program if need be."""
    future: Future[T] = Future()
    threading.Thread(target=_settle, args=(future, call), daemon=True).start()
    return future


def on_engine(client: Client, call: Callable[[], T]) -> T:
    """Run *call* on the client's own thread; what it gives or raises."""
    future: Future[T] = Future()
    client._core.network.call(_settle, future, call)
    return future.result(PATIENCE)


@contextmanager
def held(client: Client) -> Iterator[None]:
    """Another thread holds the client's turn for as long as the block."""
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with client._core.turn:
            taken.set()
            assert let_go.wait(PATIENCE)

    holder = background(hold)
    assert taken.wait(PATIENCE)
    try:
        yield
    finally:
        let_go.set()
        holder.result(PATIENCE)


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        future.set_exception(error)
