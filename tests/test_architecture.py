"""The house is built as CONTRIBUTING.md and docs/architecture.md say, and the checks of that do bite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import house_rules as rules
from house_rules import Source

TOP = Path(__file__).resolve().parent.parent
OURS = rules.sources(TOP, "src")
TESTS = rules.sources(TOP, "tests")
BENCHMARKS = rules.sources(TOP, "benchmarks")
MODULES = frozenset(f"{source.room}/{source.name}" for source in OURS)

Rule = Callable[[Source], Iterator[str]]
EVERYWHERE: list[Rule] = [rules.too_long, rules.too_many_fields, rules.without_docstring, rules.unwanted_names]
EVERYWHERE += [rules.unexplained_exemptions]
IN_SRC: list[Rule] = [
    rules.wrong_imports_between_rooms,
    rules.io_outside_its_files,
    rules.door_with_more_than_names,
    rules.tasks_without_owner,
    rules.faults_caught_anywhere,
]


def found(rule: Rule, text: str, path: str = "src/anabranch/wire/connection.py") -> list[str]:
    return list(rule(Source(path, text)))


@pytest.mark.parametrize("rule", EVERYWHERE + IN_SRC, ids=lambda rule: rule.__name__)
def test_the_sources_keep_the_rule(rule: Rule) -> None:
    """What the package must keep, in every one of its files."""
    assert [offence for source in OURS for offence in rule(source)] == []


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_tests_and_benchmarks_keep_the_rule(rule: Rule) -> None:
    """Tests and benchmarks are read like the rest."""
    assert [offence for source in (*TESTS, *BENCHMARKS) for offence in rule(source)] == []


def test_every_test_module_has_a_module_that_it_tests() -> None:
    """tests/ mirrors src/anabranch/."""
    assert [offence for source in TESTS for offence in rules.test_of_nothing(source, MODULES)] == []


@pytest.mark.parametrize(
    ("text", "offence"),
    [
        ("from anabranch.engine import Turn", "imports engine, which is above it"),
        ("def late():\n    import anabranch.engine", "imports engine, which is above it"),
        ("from anabranch import engine", "imports engine, which is above it"),
        ("from anabranch import Client", "imports api, which is above it"),
        ("import anabranch", "imports api, which is above it"),
        ("from anabranch.picker import pick", "imports picker, a stranger on its own floor"),
        ("from anabranch.net.buckets import Bucket", "goes into net past its door"),
        ("import anabranch.net.buckets", "goes into net past its door"),
        ("from ..net import Bucket", "goes into net past its door"),
        ("from anabranch.wire.messages import Have", "imports itself by its full name"),
        ("from anabranch.cellar import wine", "imports cellar, which has no floor"),
    ],
)
def test_an_import_that_leaves_the_room_wrongly_is_found(text: str, offence: str) -> None:
    """Downwards, through the door, by its full name."""
    [told] = found(rules.wrong_imports_between_rooms, text)
    assert told.endswith(offence)


@pytest.mark.parametrize(
    "text", ["from anabranch.net import Bucket", "from . import fast", "from .messages import Have", "import struct"]
)
def test_an_import_that_keeps_the_rules_is_let_pass(text: str) -> None:
    """A check that finds too much is switched off before long."""
    assert found(rules.wrong_imports_between_rooms, text) == []
    assert found(rules.wrong_imports_between_rooms, "import anabranch", "src/anabranch/cli/main.py") == []
    assert found(rules.wrong_imports_between_rooms, "from .api import Client", "src/anabranch/__init__.py") == []


def test_a_room_without_a_floor_is_found() -> None:
    """A new room is given its floor first."""
    assert found(rules.wrong_imports_between_rooms, "", "src/anabranch/cellar/wine.py")


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "import os.path",
        "from time import monotonic",
        "from pathlib import Path\nPath('x').read_bytes()",
        "from urllib import request",
        "import concurrent.futures",
        "def read(path):\n    import random",
        "open('x').read()",
        "print('x')",
    ],
)
def test_io_is_found_except_in_its_own_files(text: str) -> None:
    """Up to streaming; the rooms above may do as they like."""
    assert len(found(rules.io_outside_its_files, text)) == 1
    assert found(rules.io_outside_its_files, text, "src/anabranch/wire/peers_io.py") == []
    assert found(rules.io_outside_its_files, text, "src/anabranch/cli/main.py") == []


def test_paths_as_text_and_other_harmless_modules_are_no_io() -> None:
    """hashlib and struct touch nothing, nor does a path that is only named; a door may be open()ed by its own rules."""
    fine = "import hashlib, struct\nfrom pathlib import Path\nwhere = Path('x') / 'y'\nstorage.recall(where)"
    assert found(rules.io_outside_its_files, fine) == []
    assert found(rules.io_outside_its_files, "storage.open(info)") == []


def test_a_long_file_is_found() -> None:
    """500 lines are allowed, 501 are not."""
    assert found(rules.too_long, "x = 1\n" * 500) == []
    assert found(rules.too_long, "x = 1\n" * 501) == ["src/anabranch/wire/connection.py: 501 lines"]


@pytest.mark.parametrize(
    "body",
    [
        "    " + "; ".join(f"f{n}: int" for n in range(16)),
        f"    __slots__ = {tuple(f'f{n}' for n in range(16))}",
        "    def __init__(self):\n        " + "; ".join(f"self.f{n} = {n}" for n in range(16)),
        "    f0: int\n    def __init__(self):\n        self." + ", self.".join(f"f{n}" for n in range(1, 16)) + " = x",
    ],
)
def test_a_class_of_16_fields_is_found_unless_it_is_a_frozen_record(body: str) -> None:
    """However the fields are declared; 15 pass."""
    assert len(found(rules.too_many_fields, f"class Torrent:\n{body}")) == 1
    assert found(rules.too_many_fields, f"class Torrent:\n{body}".replace("f15", "f14")) == []
    assert found(rules.too_many_fields, f"@dataclass(frozen=True)\nclass Config:\n{body}") == []
    assert len(found(rules.too_many_fields, f"@dataclass(frozen=False)\nclass Config:\n{body}")) == 1
    assert found(rules.too_many_fields, f"class Config(Protocol[T]):\n{body}") == []


def test_a_door_with_code_in_it_is_found() -> None:
    """A room's __init__ shows names and does nothing."""
    door = "src/anabranch/wire/__init__.py"
    assert found(rules.door_with_more_than_names, '"""Doc."""\nfrom .a import A\n__all__ = ["A"]', door) == []
    for text in ("LIMIT = 3", "def f(): ...", '"""Doc."""\n"""More."""', "if True:\n    from .a import A"):
        assert found(rules.door_with_more_than_names, text, door)


def test_a_file_that_does_not_say_what_it_is_is_found() -> None:
    """A comment is not enough, nor is a docstring further down."""
    assert found(rules.without_docstring, "x = 1")
    assert found(rules.without_docstring, '# what it is\ndef f():\n    """Doc."""')
    assert found(rules.without_docstring, '"""Doc."""\nx = 1') == []


@pytest.mark.parametrize(
    ("path", "fine"),
    [
        ("tests/wire/test_connection.py", True),
        ("tests/wire/test_connection_landing.py", True),
        ("tests/wire/test_pump.py", True),
        ("tests/wire/test_nothing.py", False),
        ("tests/picker/test_connection.py", False),
        ("tests/wire/streams.py", True),
        ("tests/interop/test_swarm.py", True),
    ],
)
def test_a_test_of_no_module_is_found(path: str, fine: bool) -> None:
    """Whoever looks for a module's tests knows where."""
    modules = frozenset({"wire/connection", "wire/pump_io"})
    assert bool(list(rules.test_of_nothing(Source(path, ""), modules))) != fine


@pytest.mark.parametrize(
    "text",
    [
        "chunk_size = 3",
        "def read_chunks(): ...",
        "class PeerManager: ...",
        "def f(helper): ...",
        "self.tmp = 1",
        "import anabranch as util",
        "for segment in x: ...",
        "def handle_data(): ...",
        "with x as tmp: ...",
        "try: ...\nexcept OSError as common: ...",
    ],
)
def test_a_name_that_says_nothing_is_found(text: str) -> None:
    """Whatever is named: a variable, a function, a class, an argument, a field."""
    assert len(found(rules.unwanted_names, text)) == 1
    assert found(rules.unwanted_names, "x = 1", "src/anabranch/wire/utils.py")


def test_names_that_others_gave_are_let_pass() -> None:
    """The standard library and pytest may call things as they like; and words only count whole."""
    fine = "def test_x(tmp_path): ...\nos.path.commonpath(x)\nfrom x import contextmanager\nf(chunk=1)\nutility = 1"
    assert found(rules.unwanted_names, fine) == []


def test_a_task_of_nobody_is_found() -> None:
    """Only a TaskGroup makes tasks."""
    for text in ("asyncio.create_task(x)", "loop.create_task(x)", "create_task(x)", "asyncio.ensure_future(x)"):
        assert len(found(rules.tasks_without_owner, text)) == 1
    assert found(rules.tasks_without_owner, "self._group.create_task(x)\ngroup.create_task(x)") == []


def test_an_exemption_without_a_reason_is_found() -> None:
    """Beside it, in the same comment."""
    ignore, silence = "# type: " + "ignore[misc]", "# no" + "qa: E501, F401"
    for text in (f"x = 1  {ignore}", f"x = 1  {silence}", f"x = 1  {silence}  {ignore}"):
        assert len(found(rules.unexplained_exemptions, text)) == 1
        assert found(rules.unexplained_exemptions, text + "  # the stubs are wrong") == []
    assert found(rules.unexplained_exemptions, f"x = '{silence}'") == []


def test_a_net_for_every_fault_is_found_unless_it_is_a_bulkhead() -> None:
    """A fault is caught by its type; to clean up and raise again catches nothing."""
    for clause in ("except Exception:", "except BaseException:", "except:", "except (OSError, Exception) as e:"):
        text = f"try:\n    x()\n{clause}  # COMMENT\n    pass"
        assert len(found(rules.faults_caught_anywhere, text)) == 1
        assert found(rules.faults_caught_anywhere, text.replace("# COMMENT", "# bulkhead: a torrent")) == []
        assert found(rules.faults_caught_anywhere, text.replace("pass", "raise")) == []
    assert len(found(rules.faults_caught_anywhere, "with suppress(Exception):\n    x()")) == 1
    assert found(rules.faults_caught_anywhere, "try:\n    x()\nexcept OSError:\n    pass") == []


def test_what_is_kept_for_somebody_else_to_raise_needs_its_reason() -> None:
    """A worker hands even an exit to whoever gave it the job; Exception has no such excuse."""
    text = "try:\n    x()\nexcept BaseException as error:  # belongs to who submitted the job\n    failed(error)"
    assert found(rules.faults_caught_anywhere, text) == []
    assert len(found(rules.faults_caught_anywhere, text.replace("Base", ""))) == 1
