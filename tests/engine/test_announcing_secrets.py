"""URLs have passkeys: what is told of torrents, links and sessions for logs and errors has none of them."""

from __future__ import annotations

import pytest

from anabranch.api import Client, InputRefused
from anabranch.engine.scraping import Scrape
from anabranch.engine.sources import MetadataSource
from anabranch.engine.stage import Learning
from anabranch.engine.trackers import Tracker
from anabranch.metainfo import Magnet
from anabranch.model import InfoHash
from anabranch.storage import SavedTorrent, SavedTrackers, SavedWebSeed
from engine.trackers import PLAIN, live, tracked

PASSKEY = "0123456789abcdef0123456789abcdef"
URL = f"http://one.example/{PASSKEY}/announce"
LINK = Magnet(v1=InfoHash(bytes(20)), trackers=(URL,), webseeds=(URL,), sources=(URL,))


@pytest.mark.parametrize(
    "what",
    [
        LINK,
        tracked([URL]).metainfo,
        Tracker(URL),
        Scrape(URL, {}, trusted=False),
        SavedTrackers(((URL,),), frozenset({URL})),
        SavedWebSeed(URL, "url-list", (("X-Key", PASSKEY),)),
        SavedTorrent(str(LINK).encode(), (), True, True, 0, 0, 0.0, webseeds=(SavedWebSeed(URL, "url-list"),)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_repr_has_no_url(what: object) -> None:
    """It ends in logs, and in what people show each other."""
    assert PASSKEY not in repr(what)


def test_a_torrent_that_is_known_by_a_link_hides_its_sources() -> None:
    """They are by URL."""
    _, _, torrent = live(PLAIN)
    assert PASSKEY not in repr(Learning(None, sources={URL: MetadataSource(torrent, URL)}))


def test_a_url_where_a_list_is_due_is_not_repeated(client: Client) -> None:
    """It is one, passkey and all."""
    torrent = client.add(LINK)
    for act in (torrent.add_trackers, torrent.set_trackers, torrent.add_webseeds):
        with pytest.raises(InputRefused) as refused:
            act(URL)
        assert PASSKEY not in str(refused.value)
