"""RC4, by OpenSSL and without it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.crypto.rc4 import Cipher, PythonRc4, stream

KEY = b"k" * 20
TELL = "from anabranch.crypto import stream; c = stream(b'k' * 20); print(type(c).__name__, c.copy(b'told').hex())"
HIDE = "import sys; sys.modules['cryptography'] = None; "


@pytest.mark.parametrize("make", [stream, PythonRc4])
@pytest.mark.parametrize(
    ("key", "key_stream"),
    [
        ("0102030405", "30abbcc7c20b01609f23ee2d5f6bb7df"),
        ("0102030405060708090a0b0c0d0e0f10", "bdf0324e6083dcc6d3cedd3ca8c53c16"),
    ],
)
def test_the_key_stream_is_that_of_rfc_6229(make: Callable[[bytes], Cipher], key: str, key_stream: str) -> None:
    """From offset 1024: the bytes before betray the key, and are dropped."""
    assert make(bytes.fromhex(key)).copy(bytes(16)).hex() == key_stream


@given(st.binary(min_size=5, max_size=5) | st.binary(min_size=20, max_size=20), st.lists(st.binary(max_size=700)))
def test_openssl_and_python_make_the_same(key: bytes, parts: list[bytes]) -> None:
    """However the bytes are cut, in place or not."""
    fast, slow, whole = stream(key), PythonRc4(key), PythonRc4(key)
    made = b""
    for number, part in enumerate(parts):
        by_fast, by_slow = bytearray(part), bytearray(part)
        if number % 2:
            fast.apply(memoryview(by_fast))
            slow.apply(memoryview(by_slow))
        else:
            by_fast[:], by_slow[:] = fast.copy(memoryview(part)), slow.copy(memoryview(part))
        assert by_fast == by_slow
        made += by_fast
    assert made == whole.copy(b"".join(parts))


@given(st.binary(max_size=2000))
def test_what_was_encrypted_is_decrypted_by_the_same_key(data: bytes) -> None:
    """In place too, and nothing beside the view is touched."""
    memory = bytearray(b"<" + stream(KEY).copy(data) + b">")
    stream(KEY).apply(memoryview(memory)[1:-1])
    assert bytes(memory) == b"<" + data + b">"


@pytest.mark.parametrize(
    ("program", "setting", "name"),
    [
        (TELL, {"CRYPTOGRAPHY_OPENSSL_NO_LEGACY": ""}, "OpensslRc4"),
        (TELL, {"CRYPTOGRAPHY_OPENSSL_NO_LEGACY": "1"}, "PythonRc4"),
        (HIDE + TELL, {}, "PythonRc4"),
    ],
)
def test_python_serves_where_openssl_has_no_rc4(program: str, setting: dict[str, str], name: str) -> None:
    """Builds without the legacy provider, and machines without the cryptography package, encrypt all the same."""
    run = subprocess.run([sys.executable, "-c", program], env=os.environ | setting, capture_output=True, check=True)
    assert run.stdout.decode().split() == [name, PythonRc4(KEY).copy(b"told").hex()]
