"""What .torrent files and magnet links say: reading, checking and making them, and safe paths of their names."""

from .create_io import CREATOR, create
from .errors import CreateCancelled, MetainfoError
from .files import FileEntry, safe_name
from .found_io import where_found
from .hashing import Due, Hasher, due_of, is_right
from .info import Info
from .layers import PieceLayers, Wanted
from .layout import Version, choose_piece_length
from .load_io import MAX_FILE, load
from .magnet import Magnet, names_no_file
from .metainfo import Metainfo, compose
from .paths import printable

__all__ = [
    "CREATOR",
    "MAX_FILE",
    "CreateCancelled",
    "Due",
    "FileEntry",
    "Hasher",
    "Info",
    "Magnet",
    "Metainfo",
    "MetainfoError",
    "PieceLayers",
    "Version",
    "Wanted",
    "choose_piece_length",
    "compose",
    "create",
    "due_of",
    "is_right",
    "load",
    "names_no_file",
    "printable",
    "safe_name",
    "where_found",
]
