"""Lending a descriptor with the place where bytes lie, for the kernel to send them on without a copy.

Which file has them its owner decides; here is what is the same wherever they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from anabranch.model import StorageFailed

from .backend import Run
from .handles_io import Handle


class Lender(NamedTuple):
    """An open file, on loan; *shown* is its path."""

    handle: Handle
    place: int
    shown: str


@contextmanager
def lend(borrow: Callable[[], Lender | None], length: int) -> Iterator[Run | None]:
    """See Direct.direct(): the first of *length* bytes from the place that *borrow* tells, as many as are there.

    Args:
        borrow: Opens the file; called when the block is entered. None where the bytes are in no file.
        length: Bytes, at least one.
    """
    lender = borrow()
    if lender is None:
        yield None
        return
    with lender.handle as handle:
        try:
            there = os.fstat(handle.fd).st_size - lender.place
        except OSError as error:
            raise StorageFailed.from_os(error, lender.shown) from error
        if there <= 0:
            raise StorageFailed(lender.shown, f"{length} bytes short at offset {lender.place}")
        yield Run(handle.fd, lender.place, min(length, there))
