"""What .torrent files say: reading them, checking them, making safe paths of their names, and creating new ones."""

from .create_io import CREATOR, create
from .errors import CreateCancelled, MetainfoError
from .files import FileEntry
from .found_io import where_found
from .info import Info
from .layout import choose_piece_length
from .load_io import load
from .metainfo import Metainfo, compose
from .paths import printable

__all__ = [
    "CREATOR",
    "CreateCancelled",
    "FileEntry",
    "Info",
    "Metainfo",
    "MetainfoError",
    "choose_piece_length",
    "compose",
    "create",
    "load",
    "printable",
    "where_found",
]
