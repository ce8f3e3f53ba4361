"""Encryption between peers (Message Stream Encryption) as a machine without I/O: `Mse`, before wire's handshake."""

from .mse import Ciphers, Mse, Rc4Pair, looks_plain, obfuscated
from .rc4 import Cipher, stream

__all__ = ["Cipher", "Ciphers", "Mse", "Rc4Pair", "looks_plain", "obfuscated", "stream"]
