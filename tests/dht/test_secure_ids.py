"""Node ids that fit their address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.dht.secure_ids import is_secure, node_id_for

VECTORS = [  # BEP 42
    ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
    ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
    ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
    ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
    ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
]
PUBLIC = st.ip_addresses(network="20.0.0.0/6") | st.ip_addresses(network="2a00::/12")


@pytest.mark.parametrize(("host", "node_id"), VECTORS)
def test_the_ids_of_bep_42_fit_their_addresses_and_no_other(host: str, node_id: str) -> None:
    assert is_secure(bytes.fromhex(node_id), host)
    assert not any(is_secure(bytes.fromhex(node_id), other) for other, _ in VECTORS if other != host)


@pytest.mark.parametrize(("host", "node_id"), VECTORS)
def test_an_id_is_made_as_bep_42_makes_it(host: str, node_id: str) -> None:
    """The first 21 bits follow from the address; all else is what chance has given."""
    made = node_id_for(host, bytes.fromhex("ffffff") + bytes.fromhex(node_id)[3:])
    assert made[:2] == bytes.fromhex(node_id)[:2]
    assert made[2] == bytes.fromhex(node_id)[2] | 7
    assert made[3:] == bytes.fromhex(node_id)[3:]


@given(PUBLIC.map(str), st.binary(min_size=20, max_size=20))
def test_an_id_that_is_made_for_a_host_fits_it(host: str, random: bytes) -> None:
    made = node_id_for(host, random)
    assert len(made) == 20
    assert is_secure(made, host)
    assert not is_secure(bytes([made[0] ^ 0x80]) + made[1:], host)


def test_of_an_ipv6_address_the_network_counts() -> None:
    """BEP 42: its owner chooses the other half."""
    made = node_id_for("2a01:4f8:1:2::1", bytes(range(20)))
    assert is_secure(made, "2a01:4f8:1:2:ffff::9")
    assert not is_secure(made, "2a01:4f8:1:3::1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.3.4", "::1", "fe80::1", "fd00::5"]
)
def test_in_local_networks_any_id_will_do(host: str) -> None:
    assert is_secure(bytes(20), host)


def test_fewer_random_bytes_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="20 random bytes"):
        node_id_for("20.1.2.3", bytes(19))
