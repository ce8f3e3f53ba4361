"""`python -m anabranch.testing`."""

from __future__ import annotations

from .command import commands

commands(prog_name="python -m anabranch.testing")
