"""All checks of storage back ends, to be run at once or one by one."""

from __future__ import annotations

from collections.abc import Callable

from anabranch.storage import ClientStorage

from .conformance import StorageCheck
from .conformance_abilities import ABILITY_CHECKS
from .conformance_plain import PLAIN_CHECKS

STORAGE_CHECKS = tuple(StorageCheck(run) for run in (*PLAIN_CHECKS, *ABILITY_CHECKS))


def check_storage(make: Callable[[], ClientStorage], *, persistent: bool = False) -> None:
    """Check a back end against every rule.

    Args:
        make: Gives the back end: one in which none of this was done before, the same or another for each check. If its
            space is limited it must have room for SPACE bytes.
        persistent: What is recorded there must be known when a torrent is opened again.

    Raises:
        ConformanceFailed: the first rule that it does not keep.
    """
    for check in STORAGE_CHECKS:
        check(make, persistent=persistent)
