"""Whose fault it was."""

from __future__ import annotations

import errno

from anabranch.model import Closed, InputRefused, Misused, PeerFault, StorageFailed, TorrentError


def test_every_error_raised_on_purpose_is_of_one_tree() -> None:
    """So that a user may catch all of them at once."""
    for leaf in (Closed, InputRefused, Misused, PeerFault, StorageFailed):
        assert issubclass(leaf, TorrentError)


def test_the_system_s_words_are_kept() -> None:
    """The user must read "No space left on device", and of which file."""
    failed = StorageFailed.from_os(OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data")
    assert str(failed) == "/data/x: No space left on device"
    assert (failed.path, failed.reason, failed.errno) == ("/data/x", "No space left on device", errno.ENOSPC)


def test_an_error_without_number_or_name_is_told_as_well_as_it_can_be() -> None:
    """Some of Python's own OSErrors say nothing but a text."""
    failed = StorageFailed.from_os(OSError("odd"), "/data")
    assert (str(failed), failed.errno) == ("/data: odd", 0)
