"""The command line, for people and for scripts. Its flags, exit codes and JSON lines are a contract."""

from .main import main

__all__ = ["main"]
