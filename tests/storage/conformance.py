"""What every back end must do: see anabranch.testing. A test marked with every_rule is given its checks one by one."""

from __future__ import annotations

import pytest

from anabranch.testing import STORAGE_CHECKS
from storage.small_torrents import SmallFile, named, torrent

SMALL = torrent(
    100, named("t/a", 130), named("t/empty", 0), named("t/b", 45), SmallFile(("p",), 25, pad=True), named("t/c", 177)
)

every_rule = pytest.mark.parametrize("check", STORAGE_CHECKS, ids=str)
