"""What a torrent may do from the moment in which it is added."""

from __future__ import annotations

from pathlib import Path

from anabranch.api import Client
from origin import Origin
from ours import make_client
from threads import PATIENCE


def test_what_is_not_allowed_when_a_torrent_is_added_is_not_done(origin: Origin, client: Client) -> None:
    """The Go engine has these options and never looks at them."""
    torrent = origin.added(client, download=False, upload=False)
    torrent.download_all()
    torrent.add_peers([origin.address])
    policy = torrent._state.policy
    assert (policy.download, policy.upload) == (False, False)
    assert (torrent.stats().half_open, torrent.stats().downloaded) == (0, 0)
    torrent.allow_download(True)
    assert torrent.complete.wait(PATIENCE)
    assert not policy.upload


def test_a_torrent_that_is_remembered_is_added_with_no_more_than_is_allowed_now(origin: Origin, tmp_path: Path) -> None:
    """What was allowed when it was here last does not go before what whoever adds it says."""
    with make_client(tmp_path) as client:
        origin.added(client)
    with make_client(tmp_path) as client:
        policy = origin.added(client, download=False)._state.policy
        assert (policy.download, policy.upload) == (False, True)
    with make_client(tmp_path) as client:
        policy = origin.added(client, upload=False)._state.policy
        assert (policy.download, policy.upload) == (False, False)
