"""The filters of DHT scrapes."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.dht.blooms import SIZE, Bloom

VECTOR = bytes.fromhex("""
    F6C3F5EA A07FFD91 BDE89F77 7F26FB2B FF37BDB8 FB2BBAA2 FD3DDDE7 BACFFF75 EE7CCBAE
    FE5EEDB1 FBFAFF67 F6ABFF5E 43DDBCA3 FD9B9FFD F4FFD3E9 DFF12D1B DF59DB53 DBE9FA5B
    7FF3B8FD FCDE1AFB 8BEDD7BE 2F3EE71E BBBFE93B CDEEFE14 8246C2BC 5DBFF7E7 EFDCF24F
    D8DC7ADF FD8FFFDF DDFFF7A4 BBEEDF5C B95CE81F C7FCFF1F F4FFFFDF E5F7FDCB B7FD79B3
    FA1FC77B FE07FFF9 05B7B7FF C7FEFEFF E0B8370B B0CD3F5B 7F2BD93F EB4386CF DD6F7FD5
    BFAF2E9E BFFFFEEC D67ADBF7 C67F17EF D5D75EBA 6FFEBA7F FF47A91E B1BFBB53 E8ABFB57
    62ABE8FF 237279BF EFBFEEF5 FFC5FEBF DFE5ADFF ADFEE1FB 737FFFFB FD9F6AEF FEEE76B6
    FD8F72EF
""")  # BEP 33
HOSTS = st.lists(st.ip_addresses().map(str), max_size=12)


def test_the_filter_of_bep_33_comes_out_byte_for_byte() -> None:
    """192.0.2.0 to .255 and 2001:DB8:: to 2001:DB8::3E7 are about 1224.9308."""
    bloom = Bloom()
    for number in range(256):
        bloom.add(f"192.0.2.{number}")
    for number in range(0x3E8):
        bloom.add_packed((ip_address("2001:db8::").packed[:14]) + number.to_bytes(2, "big"))
    assert bytes(bloom) == VECTOR
    assert bloom.estimate() == pytest.approx(1224.9308, abs=1e-4)
    assert Bloom(VECTOR).estimate() == bloom.estimate()


@given(HOSTS, HOSTS)
def test_filters_unite_as_the_sets_do(ours: list[str], theirs: list[str]) -> None:
    one, other, both = Bloom(), Bloom(), Bloom()
    for host in ours:
        one.add(host)
    for host in theirs:
        other.add(host)
    for host in ours + theirs:
        both.add(host)
    one.unite(other)
    assert bytes(one) == bytes(both)
    assert all(host in one for host in ours + theirs)


@given(st.binary(min_size=SIZE, max_size=SIZE))
def test_any_filter_has_an_estimate(filled: bytes) -> None:
    assert 0 <= Bloom(filled).estimate() < 8000
    assert bytes(Bloom(filled)) == filled


def test_the_empty_and_the_full_filter_are_estimated_too() -> None:
    assert Bloom().estimate() == 0
    assert "20.1.2.3" not in Bloom()
    assert 7000 < Bloom(b"\xff" * SIZE).estimate() < 8000


@pytest.mark.parametrize("size", [0, 1, 255, 257])
def test_a_filter_of_another_size_is_none(size: int) -> None:
    with pytest.raises(ValueError, match="256 are due"):
        Bloom(bytes(size))
