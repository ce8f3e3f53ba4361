"""anabranch: a BitTorrent engine for Python. The public names, which come through the door of the `api` room.

They are imported when they are first asked for, so that what needs only a part of the project starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anabranch.api import *  # noqa: F403 - the door's own list says which names these are


def __getattr__(name: str) -> object:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module 'anabranch' has no attribute {name!r}")
    door = import_module("anabranch.api")
    if name == "__all__":  # `from anabranch import *` asks for it
        return door.__all__
    if name not in door.__all__:
        raise AttributeError(f"module 'anabranch' has no attribute {name!r}")
    return getattr(door, name)


def __dir__() -> list[str]:
    return sorted(import_module("anabranch.api").__all__)
