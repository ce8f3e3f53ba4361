"""Info hashes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InfoHash, InfoHashV2, InputRefused


@given(st.binary(min_size=20, max_size=20))
def test_an_info_hash_prints_as_it_is_read(digest: bytes) -> None:
    """40 hex digits, in either case."""
    info_hash = InfoHash(digest)
    assert InfoHash.parse(str(info_hash)) == InfoHash.parse(str(info_hash).upper()) == digest
    assert repr(info_hash) == f"InfoHash({digest.hex()})"


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_an_info_hash_has_20_bytes(length: int) -> None:
    """Nothing else exists."""
    with pytest.raises(ValueError, match="20 bytes"):
        InfoHash(bytes(length))


@given(st.text(max_size=50))
def test_any_text_is_an_info_hash_or_refused(text: str) -> None:
    """InputRefused and nothing else."""
    with suppress(InputRefused):
        assert len(InfoHash.parse(text)) == 20


@given(st.binary(min_size=32, max_size=32))
def test_a_v2_info_hash_is_longer_and_cut_for_the_swarm(digest: bytes) -> None:
    """BEP 52: peers and trackers know it by its first 20 bytes."""
    info_hash = InfoHashV2(digest)
    assert InfoHashV2.parse(str(info_hash)) == digest
    assert repr(info_hash) == f"InfoHashV2({digest.hex()})"
    assert info_hash.truncated == digest[:20]
    assert type(info_hash.truncated) is InfoHash
    with pytest.raises(ValueError, match="32 bytes"):
        InfoHashV2(digest[:20])
    with pytest.raises(InputRefused, match="64 hex digits"):
        InfoHashV2.parse(str(info_hash.truncated))
