"""What the documents say of the project is so: the files they name are there, and no list has been forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from anabranch.cli.main import commands
from anabranch.tracker import ErrorType, remedy_for

TOP = Path(__file__).resolve().parent.parent
DOCS = TOP / "docs"


def rows(document: str) -> Iterator[list[str]]:
    """The cells of each row of a document's table, without its head."""
    lines = [line for line in (DOCS / document).read_text("utf-8").splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def files(cell: str) -> Iterator[str]:
    """The Python files that a cell names; the folder of one is that of the next where it says none."""
    folder = ""
    for name in re.findall(r"`([\w/]+\.py)`", cell):
        folder = name.rpartition("/")[0] or folder
        yield f"{folder}/{name.rpartition('/')[2]}"


@pytest.mark.parametrize("page", [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Within the project; the rest of the world is not looked at."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_decision_is_listed_under_its_title() -> None:
    """Who looks for a reason starts at the list."""
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((.+)\)$", (DOCS / "decisions/README.md").read_text("utf-8"), re.MULTILINE)
    records = sorted(path for path in (DOCS / "decisions").glob("0*.md"))
    assert [name for _, _, name in listed] == [path.name for path in records]
    titles = [path.read_text("utf-8").partition("\n")[0] for path in records]
    assert [f"# {number}. {title}" for number, title, _ in listed] == titles


def test_the_protocols_are_where_the_table_says_and_tested_there() -> None:
    """A room or a file below src, and files below tests."""
    for bep, about, where, _, tests in rows("beps.md"):
        assert int(bep)
        assert list(files(tests)), about
        named = [*files(where), *re.findall(r"`(\w+)`", where)]
        assert [name for name in named if not (TOP / "src/anabranch" / name).exists()] == [], about
        assert [name for name in files(tests) if not (TOP / "tests" / name).exists()] == [], about


def test_failures_and_the_tests_that_keep_them_off_name_each_other() -> None:
    """No number without its row, and no row without its tests."""
    listed = {
        (number, name)
        for numbers, _, _, tests in rows("failures.md")
        for number in numbers.split(", ")
        for name in files(tests)
    }
    told = {
        (number, path.relative_to(TOP / "tests").as_posix())
        for path in (TOP / "tests").rglob("*.py")
        for number in re.findall(r"\bW\d\d\b", path.read_text("utf-8"))
    }
    assert listed == told


def test_smaller_flaws_are_kept_off_by_tests_that_name_them() -> None:
    """Each by the test's own name, and the test tells of the flaw."""
    said = (DOCS / "failures.md").read_text("utf-8").partition("\n## Flaws ")[2]
    for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", said):
        _, found, test = (TOP / "tests" / path).read_text("utf-8").partition(f"def {name}(")
        assert found, f"{path}::{name}"
        assert "flaw" in test.partition("\ndef ")[0].lower(), f"{path}::{name}"


def test_the_categories_of_trackers_and_their_remedies_are_described() -> None:
    """In the words that the program has for them, and in their order."""
    named = {str(error_type) for error_type in ErrorType}
    table = [(name.strip("`"), remedy) for name, _, remedy in rows("trackers.md") if name.strip("`") in named]
    assert table == [(str(error_type), remedy_for(error_type)) for error_type in ErrorType]


def test_every_command_is_in_the_readme_and_the_changelog() -> None:
    """A newcomer sees all there is."""
    readme, changelog = (TOP / "README.md").read_text("utf-8"), (TOP / "CHANGELOG.md").read_text("utf-8")
    assert [name for name in commands.commands if name not in readme or f"`{name}`" not in changelog] == []


def test_every_event_of_json_is_described() -> None:
    """What programs are told is a promise."""
    described = {name.strip("`") for name, *_ in rows("json.md")}
    sources = [path.read_text("utf-8") for path in (TOP / "src/anabranch/cli").glob("*.py")]
    told = {name for text in sources for name in re.findall(r"\.tell\(\s*\"(\w+)\"", text)}
    assert described == told
