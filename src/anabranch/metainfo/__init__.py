"""What .torrent files and magnet links say: reading, checking and making them, and safe paths of their names."""

from .body import Body
from .create_io import CREATOR, create
from .crew_io import STRETCH_SIZE, Crew, Hand, open_to_read, read_at
from .errors import CreateCancelled, MetainfoError
from .files import FileEntry, safe_name
from .found_io import where_found
from .hashing import WARM_SIZE, Due, Hasher, are_right, due_of, is_right
from .info import Info
from .layers import PieceLayers, Wanted
from .layout import Version, choose_piece_length
from .load_io import MAX_FILE, load
from .magnet import Magnet, names_no_file
from .merkle import leaves_of
from .metainfo import Metainfo, compose
from .paths import printable
from .sha import sha1_digests

__all__ = [
    "CREATOR",
    "MAX_FILE",
    "STRETCH_SIZE",
    "WARM_SIZE",
    "Body",
    "CreateCancelled",
    "Crew",
    "Due",
    "FileEntry",
    "Hand",
    "Hasher",
    "Info",
    "Magnet",
    "Metainfo",
    "MetainfoError",
    "PieceLayers",
    "Version",
    "Wanted",
    "are_right",
    "choose_piece_length",
    "compose",
    "create",
    "due_of",
    "is_right",
    "leaves_of",
    "load",
    "names_no_file",
    "open_to_read",
    "printable",
    "read_at",
    "safe_name",
    "sha1_digests",
    "where_found",
]
