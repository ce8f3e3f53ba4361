"""Which files hold cases. Each has `cases(scale: float) -> Sequence[Case]`; a small *scale* is for trying."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib import import_module

from .case import Case

FILES = ("transfer", "transfer_kept", "transfer_swarm", "mixed_swarm", "webseed", "local_hashing", "local_scale", "dht")


def all_cases(scale: float = 1.0) -> list[Case]:
    """Every case there is, in the order of FILES."""
    return [case for name in FILES for case in import_module(f"{__package__}.{name}").cases(scale)]


def chosen(cases: Sequence[Case], globs: Sequence[str]) -> list[Case]:
    """Those that match one of the globs; all where there are none. ValueError for a glob that matches nothing."""
    for glob in globs:
        if not any(fnmatchcase(case.name, glob) for case in cases):
            raise ValueError(f"no case is called {glob!r}")
    return [case for case in cases if not globs or any(fnmatchcase(case.name, glob) for glob in globs)]
