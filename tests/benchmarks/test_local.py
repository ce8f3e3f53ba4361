"""The cases that move no bytes: programs are run and measured, their work is checked."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from anabranch.metainfo import Metainfo, create
from benchmarks import local_hashing, local_polled, local_scale
from benchmarks.case import BenchmarkFailed, Case
from benchmarks.local_run import Cost, measure, ours, script, told
from benchmarks.runner import run
from benchmarks.usual import usual_torrent


def python(*words: str) -> list[str]:
    return [sys.executable, "-c", *words]


def test_a_program_is_measured_from_its_start_to_its_end(tmp_path: Path) -> None:
    """CPU of all it did, the most memory it had, and what it said."""
    work = "import time; data = b'.' * (64 << 20); [0 for _ in range(1_000_000)]; print('done'); time.sleep(0.02)"
    cost = measure(python(work), tmp_path)
    assert cost.output == "done\n"
    assert 0.02 < cost.cpu_seconds < cost.seconds + 0.1
    assert 64 < cost.peak_mib < 200


@pytest.mark.parametrize("words", ["import sys; sys.exit('the reason')", "print('the reason'); 1 / 0"])
def test_a_program_that_fails_is_told_with_what_it_said(words: str, tmp_path: Path) -> None:
    """Its round counts for nothing."""
    with pytest.raises(BenchmarkFailed, match="the reason"):
        measure(python(words), tmp_path)


@pytest.mark.parametrize("output", ["", "no numbers", "[1]", '{"a": "b"}', '{"a": 1}\nand more'])
def test_numbers_are_in_the_last_line_or_it_is_a_failure(output: str) -> None:
    """What programs say before is for people."""
    assert told(Cost(1.0, 1.0, 1.0, 'a warning\n{"MB/s": 3}\n')) == {"MB/s": 3.0}
    with pytest.raises(BenchmarkFailed):
        told(Cost(1.0, 1.0, 1.0, output))


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_what_is_made_is_compared_with_hashes_that_were_made_the_plain_way(version: str, tmp_path: Path) -> None:
    """A fast program that is wrong has not done the work."""
    content = tmp_path / "content.bin"
    content.write_bytes(b"".join(local_hashing._blocks(4, local_hashing.PIECE)))
    made = create(content, version=version, piece_length=local_hashing.PIECE)  # type: ignore[arg-type]  # one of three
    local_hashing._compare(made, content, version, 4 * local_hashing.PIECE)
    other = tmp_path / "other" / "content.bin"
    other.parent.mkdir()
    other.write_bytes(content.read_bytes()[:-1] + b"!")
    with pytest.raises(BenchmarkFailed, match="wrong"):
        local_hashing._compare(made, other, version, 4 * local_hashing.PIECE)


def test_a_usual_torrent_can_be_read_and_none_is_like_another() -> None:
    """Ten thousand of them are added."""
    every = [Metainfo.parse(usual_torrent(number)) for number in range(50)]
    assert len({one.info.info_hash for one in every}) == 50
    assert {len(one.info.files) for one in every} <= set(range(1, 21))
    assert all(800 <= one.info.geometry.piece_count <= 1200 for one in every)
    assert usual_torrent(7) == usual_torrent(7)


def test_a_poller_calls_in_turn_and_keeps_the_times_of_those_that_may_wait() -> None:
    """Calls that never wait would make the median too good."""
    calls: list[str] = []
    poller = local_polled.Poller(10_000.0, [lambda: calls.append("wait")], [lambda: calls.append("free")])
    poller.start()
    while len(calls) < 20:
        time.sleep(0)
    poller.stop()
    assert calls[:4] == ["wait", "free", "wait", "free"]
    assert len(poller.waits) == calls.count("wait")
    assert poller.count == len(calls)


def test_bare_hashing_is_the_whole_file_or_a_failure(tmp_path: Path) -> None:
    """It is the measure of others."""
    content = tmp_path / "content.bin"
    content.write_bytes(bytes(9 << 20))
    for version in ("v1", "v2", "hybrid"):
        measure(script("local_rivals.py", "hash", content, version), tmp_path)
    with pytest.raises(BenchmarkFailed):
        measure(script("local_rivals.py", "hash", tmp_path / "nothing", "v1"), tmp_path)


def test_our_command_line_is_the_one_that_users_start(tmp_path: Path) -> None:
    """Not a module that was imported already."""
    assert "anabranch" in measure(ours("--version"), tmp_path).output


def small(cases: Sequence[Case]) -> list[Case]:
    return [replace(case, rounds=1) for case in cases]


@pytest.mark.deep
@pytest.mark.parametrize(
    "case", small([*local_hashing.cases(0.004), *local_scale.cases(0.005)]), ids=lambda case: case.name
)
def test_every_case_runs_through(case: Case) -> None:
    """With little to do; those that are installed take part, and all targets can be measured."""
    result = run(case, 1, {}, 0.004, lambda line: None)
    failures = [failure for rounds in result.contenders.values() for failure in rounds.failures]
    assert [failure for failure in failures if not failure.startswith(local_hashing.TOO_LITTLE)] == []
    for verdict in result.verdicts():
        target = verdict.target
        if all(result.contenders[name].readings for name in {verdict.of, target.against or verdict.of}):
            assert verdict.measured is not None, verdict
