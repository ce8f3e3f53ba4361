"""What is told of a reply that is not understood: never a part of what the server says, which may be half a passkey."""

from __future__ import annotations

import pytest

from anabranch.net.http_bodies import refuse_packed
from anabranch.net.http_heads import Head, HeadReader
from anabranch.net.http_packing import unpacked
from anabranch.net.troubles import NetworkFailed

PASSKEY = "0123456789abcdef0123456789abcdef"


def test_the_name_of_a_packing_is_told_whole_or_not_at_all() -> None:
    """Whoever takes passkeys out of a text would not know a part of one."""
    with pytest.raises(NetworkFailed) as packed:
        unpacked(b"x", f"br, {PASSKEY}", 10)
    for coding in (PASSKEY, f"gzip, {PASSKEY}"):
        with pytest.raises(NetworkFailed) as refused:
            refuse_packed(Head(200, "", {"content-encoding": coding}, 1, False, True))
        assert PASSKEY[:4] not in str(refused.value)
    assert PASSKEY[:4] not in str(packed.value)
    assert "'br'" in str(packed.value)
    with pytest.raises(NetworkFailed, match="'gzip'"):
        refuse_packed(Head(200, "", {"content-encoding": "gzip"}, 1, False, True))


def test_a_length_that_is_no_number_is_not_repeated() -> None:
    """It may be anything."""
    with pytest.raises(NetworkFailed, match="length is no number") as refused:
        HeadReader().receive(f"HTTP/1.1 200 OK\r\nContent-Length: {PASSKEY}x\r\n\r\n".encode())
    assert PASSKEY[:4] not in str(refused.value)
