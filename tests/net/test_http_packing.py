"""Packed bodies, within their bound."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.net import NetworkFailed, Trouble
from anabranch.net.http_packing import unpacked

LIMIT = 1000


@given(st.binary(max_size=LIMIT), st.sampled_from(["gzip", "X-GZIP", " Deflate", "identity, gzip"]))
def test_what_was_packed_is_what_it_was(body: bytes, coding: str) -> None:
    """Whichever of the two heads it has, and up to the bound."""
    assert unpacked(gzip.compress(body, mtime=0), coding, LIMIT) == body
    assert unpacked(zlib.compress(body), coding, LIMIT) == body


@pytest.mark.parametrize("coding", ["", "identity", "none", "utf-8", "binary, identity"])
def test_what_is_the_name_of_no_packing_packs_nothing(coding: str) -> None:
    """Nor is anything guessed: what comes as gzip without a word is none for any client (test_http_careless)."""
    for body in (b"d1:a1:be", gzip.compress(b"body", mtime=0), b""):
        assert unpacked(body, coding, LIMIT) == body


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br", "gzip, deflate", "br" + "x" * 100 + ", br"])
def test_what_we_did_not_ask_for_is_refused(coding: str) -> None:
    """Nobody is asked for it."""
    with pytest.raises(NetworkFailed, match="did not ask for") as caught:
        unpacked(b"body", coding, LIMIT)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("length", [LIMIT + 1, 1000 * LIMIT])
def test_a_body_that_swells_is_given_up_at_its_bound(length: int) -> None:
    """A thousandfold is no art."""
    for body in (gzip.compress(bytes(length), mtime=0), zlib.compress(bytes(length)), raw(bytes(length))):
        with pytest.raises(NetworkFailed, match="longer than 1000 bytes") as caught:
            unpacked(body, "deflate", LIMIT)
        assert caught.value.trouble is Trouble.SIZE


def raw(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("keep", [2, 11, 20, -9])
def test_a_body_that_is_cut_is_none(keep: int) -> None:
    """Half a reply is no reply, whatever came of it."""
    with pytest.raises(NetworkFailed, match="broken inside or cut"):
        unpacked(gzip.compress(bytes(range(256)), mtime=0)[:keep], "gzip", LIMIT)
    with pytest.raises(NetworkFailed, match="broken inside or cut"):
        unpacked(zlib.compress(bytes(range(256)))[:keep], "deflate", LIMIT)


@given(
    st.binary() | st.binary().map(b"\x1f\x8b\x08\0\0\0\0\0\0\0".__add__) | st.binary().map(b"\x78\x9c".__add__),
    st.sampled_from(["", "gzip", "deflate", "identity"]),
)
def test_any_bytes_are_unpacked_or_blamed(body: bytes, coding: str) -> None:
    """In one kind of error."""
    with suppress(NetworkFailed):
        unpacked(body, coding, LIMIT)
