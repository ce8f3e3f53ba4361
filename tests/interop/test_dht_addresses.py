"""Ids that fit addresses (BEP 42): ours is made anew once others have told where we are, and libtorrent then takes it.

In a network of the test's own, whose addresses are not private ones: for those nobody asks for an id that fits.
"""

from __future__ import annotations

import os

import pytest

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.dht import Announcing, DhtFault, is_secure
from interop.libtorrent_dht import LibtorrentDht
from interop.our_node import OurNode
from interop.own_network import in_own_network, take_addresses
from ours import until

pytestmark = pytest.mark.interop

OURS, STRICT = "124.31.75.21", "43.213.53.83"  # two of BEP 42's own examples
WITNESSES = ("21.75.31.124", "65.23.51.170", "84.124.73.14", "91.10.20.30", "95.40.50.60")  # in networks of their own
PORT = 6881
ENFORCED = {"dht_enforce_node_id": True, "dht_prefer_verified_node_ids": True}


def test_libtorrent_takes_our_id_once_we_know_where_we_are() -> None:
    """It refuses what another id says; five networks that see us at the same address give us one that fits."""
    in_own_network(_meet_strict_ones)


def _meet_strict_ones() -> None:
    take_addresses(OURS, STRICT, *WITNESSES)
    interfaces = ",".join(f"{host}:{PORT}" for host in WITNESSES)
    with (
        OurNode(OURS) as ours,
        LibtorrentDht(WITNESSES[0], PORT, settings={"listen_interfaces": interfaces}) as witnesses,
        LibtorrentDht(STRICT, PORT, settings=ENFORCED) as strict,
    ):

        def our_id() -> bytes:
            return ours.see(lambda dht: dht.stats().nodes[0].id)

        assert not is_secure(our_id(), OURS)
        with pytest.raises(DhtFault, match="node ID"):
            ours.meet(STRICT, PORT)
        for host in WITNESSES:
            ours.meet(host, witnesses.port)
        until(lambda: is_secure(our_id(), OURS), what="an id that fits our address")
        assert ours.see(lambda dht: dht.stats().nodes[0].external) == OURS
        ours.meet(STRICT, PORT)
        info_hash = os.urandom(20)
        ours.ask(lambda dht: dht.get_peers(info_hash, announce=Announcing(PORT, implied=False)))
        assert (info_hash, OURS, PORT) in strict.announced()
