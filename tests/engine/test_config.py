"""What a client's settings must not be."""

from __future__ import annotations

import pytest

from anabranch.engine.config import Config
from anabranch.model import InputRefused


def test_settings_that_make_no_sense_are_refused_where_they_are_made() -> None:
    """With what was found and what is due."""
    with pytest.raises(InputRefused, match="a peer id has 20 bytes, not 3"):
        Config(peer_id=b"abc")
    with pytest.raises(InputRefused, match="off, allow, prefer or require, not 'perhaps'"):
        Config(encryption="perhaps")
    with pytest.raises(InputRefused, match=r"listen_host is a tuple of addresses: \('127.0.0.1',\)"):
        Config(listen_host="127.0.0.1")  # type: ignore[arg-type]  # what people write
    assert Config(listen_host=("127.0.0.1",)).listen_host == ("127.0.0.1",)
