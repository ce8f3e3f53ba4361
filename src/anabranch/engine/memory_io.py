"""Memory for buffers that goes back to the system when it is let go of.

The allocator keeps what was freed in pieces of this size, and cannot use all of it again: in a client that had buffers
of many sizes for ten minutes, three times what was in use.
"""

from __future__ import annotations

import mmap

_LEAST = 128 * 1024  # bytes; smaller ones are the allocator's affair
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


def memory(size: int) -> bytearray | mmap.mmap:
    """So many bytes, writable, of zeros."""
    return mmap.mmap(-1, size, **_PRIVATE) if size >= _LEAST else bytearray(size)
