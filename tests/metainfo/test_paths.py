"""Names from strangers become paths that are safe on disk."""

from __future__ import annotations

import re
import unicodedata
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.metainfo import paths as tested
from anabranch.metainfo.paths import MAX_COMPONENT, clean, is_decoded, printable, safe_paths, shown, text_of

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)", re.IGNORECASE)

# Names that bite, glued together, far more often than plain text does.
SEPARATORS = ["..", ".", "/", "\\", "C:", ":", "*"]
INVISIBLE = ["\0", "\n", "\x85", "\u202e", "\u2066", "\udcff", " "]
LIKE_OTHERS = ["CON", "nul", "com1", "a", "A", "é", "e\u0301", "ß", "ss", ".txt", ".1", "x" * 130, "漢" * 50]
pieces = st.sampled_from([*SEPARATORS, *INVISIBLE, *LIKE_OTHERS])
names = st.lists(pieces, max_size=5).map("".join) | st.binary(max_size=12).map(text_of)


def is_safe(component: str, windows: bool) -> bool:
    """The rules, said a second time and differently."""
    return (
        component not in ("", ".", "..")
        and len(component.encode()) <= MAX_COMPONENT
        and not any(c in "/\\" or unicodedata.category(c) in ("Cc", "Cs") for c in component)
        and not any(
            unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "PDI") for c in component
        )
        and component[-1] not in ". "
        and not re.match("[A-Za-z]:", component)
        and not RESERVED.match(component)
        and not (windows and set(component) & set('<>:"|?*'))
    )


@settings(max_examples=300)
@given(names, st.booleans())
@example(".\0.", False)
@example("C:", False)
@example("x" * 249 + "é", False)
@example("con .txt", True)
def test_any_name_becomes_a_safe_one_and_stays_it(name: str, windows: bool) -> None:
    """Cleaning is complete after one go: what comes out is safe, and cleaning that changes nothing."""
    safe = clean(name, windows=windows)
    assert is_safe(safe, windows)
    assert clean(safe, windows=windows) == safe


@given(
    names | st.text("Aa0 ._()[]-,CONnul1:", max_size=12) | st.sampled_from(["a" * 200, "a" * 201, "a" * 260]),
    st.booleans(),
)
def test_the_short_way_for_plain_names_gives_what_the_long_one_gives(name: str, windows: bool) -> None:
    """Most names are plain; the long way is the oracle."""
    with pytest.MonkeyPatch.context() as without:
        without.setattr(tested, "_PLAIN", re.compile("(?!)"))
        cleaned = clean(name, windows=windows)
    assert clean(name, windows=windows) == cleaned


@settings(max_examples=150)
@given(st.lists(st.lists(names, min_size=1, max_size=3).map(tuple), max_size=8))
def test_no_two_files_meet_on_any_file_system(originals: list[tuple[str, ...]]) -> None:
    """Paths differ in more than case and composition, and no file is where a folder must be."""
    paths = safe_paths(originals, windows=False)
    folded = [tuple(unicodedata.normalize("NFC", part).casefold() for part in path) for path in paths]
    assert [len(path) for path in paths] == [len(path) for path in originals]
    assert len(set(folded)) == len(folded)
    assert not {path[:depth] for path in folded for depth in range(1, len(path))} & set(folded)
    assert all(is_safe(part, windows=False) for path in paths for part in path)
    assert safe_paths(originals, windows=False) == paths


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("...", "_"),
        ("a/b", "ab"),
        ("a\\b", "ab"),
        ("/etc", "etc"),
        ("a\0b", "ab"),
        ("a\nb\x7fc\x85", "a_b_c_"),
        ("gpj\u202eexe", "gpjexe"),
        ("C:", "C_"),
        ("C:x", "C_x"),
        ("Re: Zero", "Re: Zero"),
        ('a<>|?*"b', 'a<>|?*"b'),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("console", "console"),
        ("lpt9 .x", "_lpt9 .x"),
        ("name. . ", "name"),
        (" .hidden", " .hidden"),
        ("漢字.txt", "漢字.txt"),
        ("y" * 300 + ".mkv", "y" * 246 + ".mkv"),
        ("é" * 200, "é" * 125),
        ("x." + "y" * 300, "x." + "y" * 248),
    ],
)
def test_a_name_is_changed_no_more_than_needed(name: str, safe: str) -> None:
    assert clean(name, windows=False) == safe


def test_windows_gets_its_own_characters_out_of_the_way() -> None:
    """A colon there opens another stream of the file; the others cannot be in a name at all."""
    assert clean('Re: Zero <1>|"?*', windows=True) == "Re_ Zero _1_____"
    assert clean("CON:", windows=True) == "CON_"


@pytest.mark.parametrize(
    ("originals", "safe"),
    [
        (["a.txt", "a.txt", "A.TXT"], ["a.txt", "a.1.txt", "A.2.TXT"]),
        (["a", "a/b"], ["a.1", "a/b"]),
        (["a/b", "A"], ["a/b", "A.1"]),
        (["a.1", "a", "a"], ["a.1", "a", "a.2"]),
        (["a", "a", "a.1"], ["a", "a.1", "a.1.1"]),
        (["\u00e9", "e\u0301"], ["\u00e9", "e\u0301.1"]),
        (["straße", "STRASSE"], ["straße", "STRASSE.1"]),
        (["Foo/a", "foo/a", "foo/b"], ["Foo/a", "foo/a.1", "foo/b"]),
        (["a", "a\u200f"], ["a", "a.1"]),
        ([".hidden", ".hidden"], [".hidden", ".hidden.1"]),
        (["q" * 250, "q" * 251], ["q" * 250, "q" * 248 + ".1"]),
    ],
)
def test_files_that_would_meet_are_numbered(originals: list[str], safe: list[str]) -> None:
    paths = safe_paths([tuple(path.split("/")) for path in originals], windows=False)
    assert ["/".join(path) for path in paths] == safe


def test_many_files_of_one_name_cost_no_more_than_many_files() -> None:
    """Each takes up counting where the last one left off: 40,000 equal names are done at once."""
    paths = safe_paths([("a.txt",)] * 40_000, windows=False)
    assert paths[-1] == ("a.39999.txt",)
    assert len(set(paths)) == 40_000


def test_names_that_differ_where_they_are_cut_count_together() -> None:
    """Else each of them would try every number that the others have taken: 10,000 such pairs take a minute."""
    cut = ["x" * 245 + f"{number:05d}" for number in range(10_000)]
    stripped = ["a" + "".join(end) + ".txt" for end in product(". ", repeat=13)]
    paths = safe_paths([(name,) for name in [*cut, *cut, *stripped, *stripped]], windows=False)
    assert len(set(paths)) == len(paths)
    assert paths[19_999] == ("x" * 244 + ".10000",)
    assert paths[-1] == (f"a.{2**13}.txt",)


def test_what_is_shown_of_a_path_is_no_longer_than_a_person_reads() -> None:
    assert shown(("a", "b\x1b")) == "a/b\\x1b"
    assert shown(("a" * 300, "b" * 10**6)) == "a" * 300 + "/" + "b" * 199 + "…"


def test_bytes_that_are_no_text_are_replaced_one_by_one() -> None:
    """So that names of different length stay different; and they can be shown."""
    assert clean(text_of(b"\xff\xfe.txt"), windows=False) == "__.txt"
    assert not is_decoded(text_of(b"a\xff"))
    assert is_decoded(text_of("é".encode()))
    assert printable(text_of(b"a\xff\n\xe2\x80\xae")) == "a\\udcff\\n\\u202e"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_are_cleaned_as_libtorrent_cleans_them() -> None:
    """Data that libtorrent downloaded is found again. Ours goes further with names that only Windows refuses."""
    libtorrent = pytest.importorskip("libtorrent")
    originals = [["..", "..", "bar"], ["", "x"], ["a/b"], ["a\\c"], ["a\0d"], ["a\x01e"], ["a\u202ef"], ["ab:g"], ["é"]]
    originals += [["dup.txt"], ["dup.txt"], ["DUP.txt"], ["folder", "in"], ["folder"], ["a<>|?*\"'~"], [" lead"]]
    info = {
        "name": "t",
        "piece length": 16384,
        "pieces": bytes(20),
        "files": [{"length": 1, "path": path} for path in originals],
    }
    theirs = libtorrent.torrent_info(libtorrent.bdecode(encode({"info": info}))).files()
    ours = safe_paths([tuple(path) for path in originals], windows=False)
    assert ["/".join(("t", *path)) for path in ours] == [theirs.file_path(i) for i in range(theirs.num_files())]
