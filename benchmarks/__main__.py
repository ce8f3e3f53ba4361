"""`python -m benchmarks`: see command.py."""

import sys

from .command import main

sys.exit(main(sys.argv[1:]))
