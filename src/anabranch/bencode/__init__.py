"""Bencode (BEP 3): the one encoding of .torrent files, tracker replies, DHT packets and extension messages."""

from .decoder import Decoded, decode, decode_noted, decode_prefix
from .encoder import encode
from .values import LIMITS, BencodeError, Limits, Value

__all__ = [
    "LIMITS",
    "BencodeError",
    "Decoded",
    "Limits",
    "Value",
    "decode",
    "decode_noted",
    "decode_prefix",
    "encode",
]
