"""`python -m anabranch`: the command line."""

from __future__ import annotations

import sys

from anabranch.cli import main

sys.exit(main())
