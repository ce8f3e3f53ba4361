"""Reading a torrent as a file while it downloads."""

from .reader_io import Reader

__all__ = ["Reader"]
