"""Info hashes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InfoHash, InputRefused


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
