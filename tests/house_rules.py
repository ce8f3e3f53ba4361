"""The rules of the house as functions: each takes a source and gives the offences it finds, in words.

test_architecture.py applies them to the project, and to small bad sources to see that they bite. CONTRIBUTING.md has
the rules with their reasons.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

PACKAGE = "anabranch"
FLOORS = (  # a room may import rooms of lower floors; rooms of one floor are strangers
    ("model",),
    ("bencode",),
    ("metainfo",),
    ("net",),
    ("wire", "crypto", "transport", "tracker", "dht", "discovery", "portmap", "picker", "storage", "webseed"),
    ("engine", "tracking"),
    ("streaming",),
    ("api",),
    ("daemon", "fuse"),
    ("cli", "testing"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
IO_FENCED = {room for room, floor in FLOOR_OF.items() if floor <= FLOOR_OF["streaming"]}
_IO_NAMES = """
    _thread aiohttp asyncio concurrent fcntl ftplib glob http logging mmap msvcrt multiprocessing os queue
    random resource sched secrets select selectors shutil signal socket socketserver sqlite3 ssl subprocess tempfile
    threading time urllib.request uvloop
"""
IO_MODULES = frozenset(_IO_NAMES.split())
IO_CALLS = frozenset({"open", "print", "input"})
_PATH_NAMES = """
    chmod cwd exists glob is_dir is_file is_symlink iterdir lstat mkdir open read_bytes read_text readlink rename
    resolve rglob rmdir stat symlink_to touch unlink write_bytes write_text
"""
PATH_CALLS = frozenset(_PATH_NAMES.split())  # methods of pathlib.Path that ask the disk
MOST_LINES = 500
MOST_FIELDS = 15
UNWANTED_WORDS = frozenset({"chunk", "segment", "manager", "helper", "util", "common", "tmp"})
UNWANTED_NAMES = frozenset({"handle_data"})
PYTEST_NAMES = frozenset({"tmp_path", "tmp_path_factory"})


@dataclass(frozen=True)
class Source:
    """A file of the project: its path from the repository's top, with slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path, feature_version=(3, 11))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of the tree: walking it takes longer than what any rule looks for."""
        return list(ast.walk(self.tree))

    @cached_property
    def comments(self) -> dict[int, str]:
        """By line."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return PurePosixPath(self.path).stem

    @property
    def package(self) -> tuple[str, ...]:
        """Where relative imports start: ("anabranch", "wire") for any file of that room."""
        return PurePosixPath(self.path).parts[1:-1]

    @property
    def room(self) -> str:
        """The room that the file is in, empty for the package's own __init__ and for tests."""
        return self.package[1] if len(self.package) > 1 and self.package[0] == PACKAGE else ""


def sources(top: Path, folder: str) -> list[Source]:
    """Read every Python file below *folder*."""
    return [
        Source(path.relative_to(top).as_posix(), path.read_text("utf-8"))
        for path in sorted((top / folder).rglob("*.py"))
    ]


def imports(source: Source) -> Iterator[tuple[int, int, str, tuple[str, ...]]]:
    """Every import, wherever it stands: line, level of dots, full module name, names taken from it."""
    for node in source.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, 0, alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            if not node.level:
                yield node.lineno, 0, node.module or "", names
            else:
                base = source.package[: len(source.package) - node.level + 1]
                yield node.lineno, node.level, ".".join((*base, *filter(None, [node.module]))), names


def wrong_imports_between_rooms(source: Source) -> Iterator[str]:
    """Imports go downwards, through the door, by its full name; inside a room they are relative."""
    room = source.room
    if not room:
        return
    if room not in FLOOR_OF:
        yield f"{source.path}: {room} has no floor"
        return
    for line, level, module, names in imports(source):
        parts = module.split(".")
        if parts[0] != PACKAGE:
            continue
        targets = [parts[1]] if len(parts) > 1 else [name if name in FLOOR_OF else "api" for name in names] or ["api"]
        for target in targets:
            where = f"{source.path}:{line}: {room}"
            if target == room:
                if not level:
                    yield f"{where} imports itself by its full name"
            elif target not in FLOOR_OF:
                yield f"{where} imports {target}, which has no floor"
            elif FLOOR_OF[target] > FLOOR_OF[room]:
                yield f"{where} imports {target}, which is above it"
            elif FLOOR_OF[target] == FLOOR_OF[room]:
                yield f"{where} imports {target}, a stranger on its own floor"
            elif level or len(parts) > 2:
                yield f"{where} goes into {target} past its door"


def io_outside_its_files(source: Source) -> Iterator[str]:
    """Up to streaming, only *_io.py may touch clock, chance, threads, loop, network or disk."""
    if source.room not in IO_FENCED or source.name.endswith("_io"):
        return
    has_paths = False
    for line, _, module, names in imports(source):
        has_paths = has_paths or module == "pathlib"
        for whole in {module, *(f"{module}.{name}" for name in names)}:
            if whole in IO_MODULES or whole.partition(".")[0] in IO_MODULES:
                yield f"{source.path}:{line}: imports {whole}"
                break
    for node in source.nodes:
        if isinstance(node, ast.Call):
            name = _last_name(node.func)
            is_method = isinstance(node.func, ast.Attribute)
            if name in (PATH_CALLS if is_method and has_paths else () if is_method else IO_CALLS):
                yield f"{source.path}:{node.lineno}: calls {name}()"


def too_long(source: Source) -> Iterator[str]:
    """A file over 500 lines has two subjects."""
    lines = source.text.count("\n")
    if lines > MOST_LINES:
        yield f"{source.path}: {lines} lines"


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_record(node: ast.ClassDef) -> bool:
    bases = {_last_name(base) for base in node.bases}
    if bases & {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "NamedTuple", "TypedDict", "Protocol"}:
        return True
    return any(
        isinstance(mark, ast.Call)
        and _last_name(mark) == "dataclass"
        and any(word.arg == "frozen" and getattr(word.value, "value", False) for word in mark.keywords)
        for mark in node.decorator_list
    )


def _fields(node: ast.ClassDef) -> set[str]:
    found: set[str] = set()
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            if _last_name(part.annotation) != "ClassVar":
                found.add(part.target.id)
        elif isinstance(part, ast.Assign) and [_last_name(target) for target in part.targets] == ["__slots__"]:
            found |= {str(word.value) for word in ast.walk(part.value) if isinstance(word, ast.Constant)}
        elif isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__post_init__"):
            found |= {
                word.attr
                for word in ast.walk(part)
                if isinstance(word, ast.Attribute)
                and isinstance(word.ctx, ast.Store)
                and isinstance(word.value, ast.Name)
                and word.value.id == "self"
            }
    return found


def too_many_fields(source: Source) -> Iterator[str]:
    """A class over 15 fields is several; frozen records, enums and protocols may have more."""
    for node in source.nodes:
        if isinstance(node, ast.ClassDef) and not _is_record(node) and len(_fields(node)) > MOST_FIELDS:
            yield f"{source.path}:{node.lineno}: {node.name} has {len(_fields(node))} fields"


def door_with_more_than_names(source: Source) -> Iterator[str]:
    """A room's __init__ is a docstring, imports and __all__."""
    if source.name != "__init__" or not source.room:
        return
    for place, node in enumerate(source.tree.body):
        is_docstring = place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_all = isinstance(node, ast.Assign) and [_last_name(target) for target in node.targets] == ["__all__"]
        if not (is_docstring or is_all or isinstance(node, ast.Import | ast.ImportFrom)):
            yield f"{source.path}:{node.lineno}: more than names"


def without_docstring(source: Source) -> Iterator[str]:
    """A file opens with what it is."""
    if not ast.get_docstring(source.tree):
        yield f"{source.path}: no docstring"


def test_of_nothing(source: Source, modules: frozenset[str]) -> Iterator[str]:
    """tests/ROOM/test_NAME.py tests src/.../ROOM/NAME.py or NAME_io.py; *_ASPECT may follow. *modules*: "room/name"."""
    parts = PurePosixPath(source.path).parts
    by_module = len(parts) == 3 and parts[2].startswith("test_")
    if not by_module or parts[1] in ("interop", "resilience", "soak", "cli", "benchmarks"):
        return
    subject = source.name.removeprefix("test_")
    while subject:
        if f"{parts[1]}/{subject}" in modules or f"{parts[1]}/{subject}_io" in modules:
            return
        subject = subject.rpartition("_")[0]
    yield f"{source.path}: no such module"


def _names_given(source: Source) -> Iterator[tuple[int, str]]:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield 0, node.asname
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name


@cache
def _words(name: str) -> frozenset[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return frozenset(word.removesuffix("s") for word in apart.split("_"))


def unwanted_names(source: Source) -> Iterator[str]:
    """One word per thing: a block is no chunk, and a helper or a manager says nothing."""
    for line, name in [(1, source.name), *_names_given(source)]:
        if name in PYTEST_NAMES:
            continue
        if name in UNWANTED_NAMES or _words(name) & UNWANTED_WORDS:
            yield f"{source.path}:{line}: the name {name}"


def tasks_without_owner(source: Source) -> Iterator[str]:
    """Tasks are made by a TaskGroup, which is known by its name: group, or something_group."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and _last_name(node.func) in ("create_task", "ensure_future"):
            owner = _last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            if not owner.endswith("group"):
                yield f"{source.path}:{node.lineno}: a task of nobody's group"


_PRAGMA = re.compile(r"#\s*(type:\s*ignore(\[[^\]]*\])?|noqa(:\s*[A-Z]+[0-9]+(\s*,\s*[A-Z]+[0-9]+)*)?)")


def _gives_reason(comment: str) -> bool:
    return bool(re.search(r"[a-z]{3}", _PRAGMA.sub("", comment)))


def unexplained_exemptions(source: Source) -> Iterator[str]:
    """An exemption from a check says why, in the same comment."""
    if not _PRAGMA.search(source.text):
        return  # before all its comments are found: most files have none
    for line, comment in source.comments.items():
        if _PRAGMA.search(comment) and not _gives_reason(comment):
            yield f"{source.path}:{line}: {comment} gives no reason"


def _kinds(kind: ast.expr | None) -> set[str]:
    return (
        {_last_name(one) for one in (kind.elts if isinstance(kind, ast.Tuple) else [kind])} if kind else {"Exception"}
    )


def faults_caught_anywhere(source: Source) -> Iterator[str]:
    """Exception is caught only at a bulkhead, and the line says so.

    BaseException may also be kept for somebody else to raise, with the reason on the line. To clean up and raise again
    catches nothing.
    """
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            last = node.body[-1]
            kinds = set() if isinstance(last, ast.Raise) and last.exc is None else _kinds(node.type)
        elif isinstance(node, ast.Call) and _last_name(node.func) == "suppress":
            kinds = {kind for word in node.args for kind in _kinds(word)}
        else:
            continue
        comment = source.comments.get(node.lineno, "")
        kept = "BaseException" in kinds and _gives_reason(comment)
        if kinds & {"Exception", "BaseException"} and not kept and "# bulkhead" not in comment:
            yield f"{source.path}:{node.lineno}: catches everything and is no bulkhead"
