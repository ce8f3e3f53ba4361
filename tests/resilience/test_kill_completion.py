"""The completion store, killed at any moment: what it said it has recorded is there, and nothing else is believed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from anabranch.model import InfoHash
from anabranch.storage import SessionStore, session_key
from resilience.recorder import GROUP, PIECES

MANY = int(os.environ.get("ANABRANCH_KILLS", "20"))
PROGRAM = Path(__file__).with_name("recorder.py")


@pytest.mark.parametrize("kills", [3, pytest.param(MANY, marks=[pytest.mark.deep, pytest.mark.timeout(60 + 2 * MANY)])])
def test_a_completion_store_that_is_killed_has_what_it_said_it_has(kills: int, tmp_path: Path) -> None:
    """W41: of the last group alone it may not have said so yet; a group is recorded whole or not at all."""
    draw = Random(kills)
    number = 0
    for kill in range(kills):
        with subprocess.Popen(
            [sys.executable, str(PROGRAM), str(tmp_path), str(number)], stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            for _ in range(draw.randrange(1, 60)):
                number = int(program.stdout.readline())
            program.kill()
            number = max([number, *map(int, program.stdout.read().split())])
        sessions = SessionStore(tmp_path)
        assert not sessions.warnings
        known, complete = sessions.completion(session_key(InfoHash(bytes(20)), tmp_path)).load(PIECES)
        sessions.close()
        for group in range(number + 1):
            pieces = slice(group * GROUP, (group + 1) * GROUP)
            assert known[pieces].all(), f"group {group} after kill {kill}"
            assert complete[pieces].all() == complete[pieces].any() == (group % 3 != 2)
        last = slice((number + 1) * GROUP, (number + 2) * GROUP)
        assert known[last].all() == known[last].any()
        assert complete[last].all() == complete[last].any()
        assert not known[last.stop :].any()
        number += 1
