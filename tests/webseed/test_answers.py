"""What the heads of answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.net import Url, parse_url
from anabranch.webseed import BadAnswer, FileMissing, Part, TooFast, judge

K = 1024
URL = parse_url("http://user:hunter2@seed.example/8d0f4c2e9a7b/t/file", ("http",))
WHOLE = Part(URL, 3, 0, 100 * K, 100 * K, False, 5 * K)
LATER = Part(URL, 3, 48 * K, 16 * K, 100 * K, True, 53 * K)
FAR = replace(LATER, begin=48 * K + 1)
PIECE = Part(URL, -1, 32 * K, 16 * K, 64 * K, False, 0)


@dataclass(frozen=True)
class Answered:
    """A head as the network has read it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    reason: str = ""
    url: Url = URL


def of_range(part: Part, first: int | None = None, last: int | None = None, whole: int | str | None = None) -> Answered:
    """A 206 that says which bytes it has: the right ones where nothing else is given."""
    first = part.begin if first is None else first
    last = part.begin + part.length - 1 if last is None else last
    return Answered(206, {"content-range": f"bytes {first}-{last}/{part.whole if whole is None else whole}"})


@pytest.mark.parametrize("part", [WHOLE, LATER, FAR])
def test_the_range_that_was_asked_for_is_taken_from_its_first_byte(part: Part) -> None:
    """Also by who says nothing of the range, or not how long the file is."""
    assert judge(part, of_range(part)) == 0
    assert judge(part, of_range(part, whole="*")) == 0
    assert judge(part, replace(of_range(part), length=part.length)) == 0
    assert judge(part, Answered(206)) == 0
    assert judge(part, Answered(206, {"content-encoding": "identity"}, part.length)) == 0


@pytest.mark.parametrize(
    "answer",
    [
        of_range(LATER, first=0),
        of_range(LATER, last=100 * K - 1),
        of_range(LATER, last=48 * K),
        of_range(LATER, whole=101 * K),
        of_range(LATER, whole=64 * K),
        Answered(206, {"content-range": "bytes */102400"}),
        Answered(206, {"content-range": "lines 1-2/3"}),
        Answered(206, {"content-range": "bytes ١-٢/٣"}),
        Answered(206, {"content-type": "multipart/byteranges; boundary=x"}),
        Answered(206, length=16 * K - 1),
        Answered(206, length=100 * K),
        replace(of_range(LATER), length=52 * K),
    ],
)
def test_another_range_or_another_file_is_a_bad_answer(answer: Answered) -> None:
    """W12: never misaligned data. Bytes of another place would make wrong pieces."""
    with pytest.raises(BadAnswer, match=r"seed\.example"):
        judge(LATER, answer)


def test_of_a_whole_file_what_lies_before_is_left_out_if_it_is_short() -> None:
    """W12: 200 instead of 206. At most 48 KiB are read for nothing."""
    assert judge(WHOLE, Answered(200, length=100 * K)) == 0
    assert judge(LATER, Answered(200, length=100 * K)) == 48 * K
    with pytest.raises(BadAnswer, match="ignores Range"):
        judge(FAR, Answered(200, length=100 * K))


def test_another_length_of_the_whole_file_is_believed_if_the_bytes_can_be_in_it() -> None:
    """The hash will tell. A file that is too short cannot have them."""
    for length in (None, 64 * K, 100 * K, 101 * K):
        assert judge(LATER, Answered(200, length=length)) == 48 * K
    with pytest.raises(BadAnswer, match=f"has {64 * K - 1} bytes where the torrent's file has {100 * K}"):
        judge(LATER, Answered(200, length=64 * K - 1))


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "identity, gzip", "x\x1b[2J"])
def test_compressed_answers_are_refused(status: int, coding: str) -> None:
    """Its bytes are not those of the file, and unpacking a stranger's is a risk."""
    with pytest.raises(BadAnswer, match="in another form") as refused:
        judge(WHOLE, Answered(status, {"content-encoding": coding}))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("30", 30.0),
        (" 0 ", 0.0),
        ("99999999999", 3600.0),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_who_is_asked_too_often_is_not_to_blame_and_says_how_long_to_wait(
    status: int, said: str | None, seconds: float | None
) -> None:
    """W12: 503 is no crime. More than an hour is not waited."""
    with pytest.raises(TooFast, match=f"seed.example answers {status}") as slow:
        judge(LATER, Answered(status, {} if said is None else {"retry-after": said}))
    assert slow.value.retry_after == seconds


@pytest.mark.parametrize("status", [403, 404, 410, 414, 451])
def test_a_missing_file_is_told_by_its_number(status: int) -> None:
    """W12: 404 for one file. It takes its pieces away, and no others."""
    with pytest.raises(FileMissing, match=f"seed.example answers {status} Gone, asked for file 3") as missing:
        judge(WHOLE, Answered(status, reason="Gone"))
    assert (missing.value.status, missing.value.file) == (status, 3)


@pytest.mark.parametrize("status", [100, 199, 201, 204, 302, 304, 400, 401, 407, 416, 500, 502, 504, 999])
def test_any_other_answer_is_a_bad_one(status: int) -> None:
    with pytest.raises(BadAnswer, match=f"seed.example answers {status}"):
        judge(WHOLE, Answered(status))


def test_what_is_behind_the_end_of_a_server_s_file_is_said_in_words() -> None:
    with pytest.raises(BadAnswer, match="the file there is shorter than the torrent's"):
        judge(LATER, Answered(416, {"content-range": "bytes */10"}))


def test_of_a_script_the_piece_is_taken_or_what_was_asked_of_it() -> None:
    """BEP 17: 200 and 206 mean the same; a script that knows no ranges sends the whole piece."""
    for status in (200, 206):
        assert judge(PIECE, Answered(status, length=16 * K)) == 0
        assert judge(PIECE, Answered(status)) == 0
        assert judge(PIECE, Answered(status, length=64 * K)) == 32 * K
        with pytest.raises(BadAnswer, match="of a piece"):
            judge(PIECE, Answered(status, length=63 * K))
        with pytest.raises(BadAnswer, match="of a piece"):
            judge(replace(PIECE, begin=49 * K, length=15 * K), Answered(status, length=64 * K))


def test_a_script_has_no_files_that_could_be_missing() -> None:
    """BEP 17: any status besides 200 and 503 is an error."""
    with pytest.raises(BadAnswer):
        judge(PIECE, Answered(404))
    with pytest.raises(TooFast):
        judge(PIECE, Answered(503))


@pytest.mark.parametrize("status", [404, 429, 500])
def test_what_a_server_says_is_told_without_our_secrets_and_on_one_line(status: int) -> None:
    """Servers repeat what they were asked for; terminals obey what they are shown."""
    reason = "no /8d0f4c2e9a7b/t/file for user:hunter2, nor 8d0f4c2e9a7b\r\n\x1b[31m" + "x" * 500
    with pytest.raises((BadAnswer, FileMissing, TooFast)) as told:
        judge(
            LATER,
            Answered(status, reason=reason, url=parse_url("https://cdn.example/k?sig=0123456789abcdef", ("https",))),
        )
    text = str(told.value)
    assert "cdn.example" in text
    assert "8d0f4c2e9a7b" not in text
    assert "hunter2" not in text
    assert text.isprintable()
    assert len(text) < 200


@given(
    st.sampled_from([WHOLE, LATER, FAR, PIECE]),
    st.integers(0, 999),
    st.dictionaries(
        st.sampled_from(["content-range", "content-encoding", "content-type", "retry-after"]),
        st.text() | st.from_regex(r"bytes [0-9]{1,30}-[0-9]{1,30}/([0-9]{1,30}|\*)", fullmatch=True),
    ),
    st.none() | st.integers(0),
    st.text(),
)
def test_any_head_is_taken_or_blamed(
    part: Part, status: int, headers: dict[str, str], length: int | None, reason: str
) -> None:
    """What is taken begins at most 48 KiB into the body."""
    with suppress(BadAnswer, FileMissing, TooFast):
        assert 0 <= judge(part, Answered(status, headers, length, reason)) <= min(part.begin, 48 * K)
