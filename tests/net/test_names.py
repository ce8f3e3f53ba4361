"""Names that are remembered, with a resolver that answers when it is told to, and time that is ours."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest

from anabranch.model import Address
from anabranch.net import Names, NotResolved
from anabranch.net.names_io import AT_ONCE, KNOWN_FOR, MOST_NAMES, NEW_PATIENCE, OLD_FOR, UNKNOWN_FOR
from net.virtual_loop import VirtualLoop, play, turns

PATIENCE = 10  # seconds for a thread to get on; no rule


class Resolver:
    """Knows what it is told, and keeps what it was asked.

    Attributes:
        hosts: Addresses by name; a text is why there are none.
        go: While it is not set, nothing is answered.
    """

    def __init__(self, **hosts: list[str] | str) -> None:
        self.hosts = dict(hosts)
        self.asked: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def look_up(self, host: str) -> list[str]:
        self.asked.append(host)
        assert self.go.wait(PATIENCE)
        found = self.hosts.get(host, "temporary failure")
        if isinstance(found, str):
            raise NotResolved(host, found, gone=found == "no such name")
        return found


def scene(play_it: Callable[[VirtualLoop, Resolver, Names], Awaitable[None]], **hosts: list[str] | str) -> None:
    async def work(loop: VirtualLoop) -> None:
        resolver = Resolver(**hosts)
        try:
            await play_it(loop, resolver, Names(resolver.look_up))
        finally:
            resolver.go.set()

    play(work)


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 # threads make it happen
        await asyncio.sleep(0)


def test_an_answer_serves_for_a_minute() -> None:
    """With whatever port; then the host may have moved."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        assert await names.resolve("a", 80) == [Address("10.0.0.1", 80), Address("::1", 80)]
        loop.now += KNOWN_FOR - 1
        assert await names.resolve("a", 81) == [Address("10.0.0.1", 81), Address("::1", 81)]
        assert resolver.asked == ["a"]
        resolver.hosts["a"] = ["10.0.0.2"]
        loop.now += 1
        assert await names.resolve("a", 80) == [Address("10.0.0.2", 80)]
        assert await names.resolve("127.0.0.1", 80) == [Address("127.0.0.1", 80)]
        assert resolver.asked == ["a", "a"]

    scene(story, a=["10.0.0.1", "::1"])


def test_a_failure_serves_for_ten_seconds() -> None:
    """Each who asks hears it; and a thousand torrents of a tracker that is gone ask once."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        for wait in (0, UNKNOWN_FOR - 1):
            loop.now += wait
            with pytest.raises(NotResolved, match="a: no such name"):
                await names.resolve("a", 80)
        assert resolver.asked == ["a"]
        resolver.hosts["a"] = ["10.0.0.1"]
        loop.now += 1
        assert await names.resolve("a", 80) == [Address("10.0.0.1", 80)]

    scene(story, a="no such name")


def test_who_asks_while_it_is_asked_waits_with_the_others() -> None:
    """One question, however many want to know; who gives up takes nothing from the others."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        resolver.go.clear()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(names.resolve("a", port)) for port in range(1, 100)]
            await turns()
            tasks[0].cancel()
            resolver.go.set()
        assert [task.result()[0].port for task in tasks[1:]] == list(range(2, 100))
        assert resolver.asked == ["a"]

    scene(story, a=["10.0.0.1"])


def test_few_are_asked_at_once_and_nobody_for_who_has_given_up() -> None:
    """A resolver that does not answer holds eight threads, not the loop's; the others wait their turn."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        resolver.go.clear()
        hosts = [f"h{number}" for number in range(AT_ONCE + 3)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(names.resolve(host, 80)) for host in hosts]
            await until(lambda: len(resolver.asked) == AT_ONCE)
            tasks[AT_ONCE].cancel()
            await turns()
            assert len(resolver.asked) == AT_ONCE
            resolver.go.set()
        assert sorted(resolver.asked) == sorted(set(hosts) - {f"h{AT_ONCE}"})

    scene(story, **{f"h{number}": ["10.0.0.1"] for number in range(AT_ONCE + 3)})


def test_an_old_answer_is_used_while_a_new_one_takes_its_time() -> None:
    """RFC 8767: two seconds are waited for it, by the first; it counts when it comes."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        await names.resolve("a", 80)
        resolver.go.clear()
        resolver.hosts["a"] = ["10.0.0.2"]
        loop.now += KNOWN_FOR
        first = asyncio.ensure_future(names.resolve("a", 80))
        await turns()
        loop.now += NEW_PATIENCE
        await turns()
        assert first.done()
        assert await first == await names.resolve("a", 80) == [Address("10.0.0.1", 80)]
        assert len(resolver.asked) == 2
        resolver.go.set()
        await until(lambda: names._known["a"].hosts == ["10.0.0.2"])
        assert await names.resolve("a", 80) == [Address("10.0.0.2", 80)]

    scene(story, a=["10.0.0.1"])


def test_an_old_answer_is_used_where_no_new_one_can_be_had_but_not_for_a_name_that_is_gone() -> None:
    """A name server that is away for an hour takes no tracker away; for a day at most."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        await names.resolve("a", 80)
        resolver.hosts["a"] = "temporary failure"
        for wait in (KNOWN_FOR, UNKNOWN_FOR, OLD_FOR - KNOWN_FOR - 2 * UNKNOWN_FOR):
            loop.now += wait
            assert await names.resolve("a", 80) == [Address("10.0.0.1", 80)]
        assert len(resolver.asked) == 4
        loop.now += UNKNOWN_FOR
        with pytest.raises(NotResolved, match="temporary"):
            await names.resolve("a", 80)
        await names.resolve("b", 80)
        resolver.hosts["b"] = "no such name"
        loop.now += KNOWN_FOR
        with pytest.raises(NotResolved, match="no such name"):
            await names.resolve("b", 80)

    scene(story, a=["10.0.0.1"], b=["10.0.0.1"])


def test_an_answer_that_leads_nowhere_is_forgotten_unless_it_is_new() -> None:
    """A host that refuses connections to a thousand torrents is not looked up a thousand times."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        names.forget("a")
        for wait, questions in ((0, 1), (UNKNOWN_FOR - 1, 1), (1, 2)):
            loop.now += wait
            names.forget("a")
            await names.resolve("a", 80)
            assert len(resolver.asked) == questions

    scene(story, a=["10.0.0.1"])


def test_of_more_names_than_are_remembered_those_go_that_were_not_asked_for() -> None:
    """Whoever makes torrents writes names: they are no way to fill our memory."""

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        for number in range(MOST_NAMES):
            await names.resolve(f"h{number}", 80)
        await names.resolve("h0", 80)
        await names.resolve("one more", 80)
        resolver.asked.clear()
        await names.resolve("h0", 80)
        assert resolver.asked == []
        await names.resolve("h1", 80)
        assert resolver.asked == ["h1"]

    scene(story, **{f"h{number}": ["10.0.0.1"] for number in range(MOST_NAMES)}, **{"one more": ["10.0.0.1"]})


def test_an_answer_that_comes_after_the_end_is_nobodys() -> None:
    """The loop is closed by then."""
    threads: list[threading.Thread] = []

    async def story(loop: VirtualLoop, resolver: Resolver, names: Names) -> None:
        resolver.go.clear()
        task = asyncio.ensure_future(names.resolve("a", 80))
        await until(lambda: bool(resolver.asked))
        threads.extend(one for one in threading.enumerate() if one.name == "anabranch names")
        task.cancel()

    scene(story, a=["10.0.0.1"])
    assert threads
    for thread in threads:
        thread.join(PATIENCE)


def test_a_mistake_in_the_resolver_is_told_to_who_asked(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for ever; the mistake is logged."""

    def broken(host: str) -> list[str]:
        raise AttributeError("a mistake")

    async def work(loop: VirtualLoop) -> None:
        with pytest.raises(NotResolved, match="a mistake"):
            await Names(broken).resolve("a", 80)

    play(work)
    assert "look-up failed host=a" in caplog.text


@pytest.mark.parametrize("how", ["resolve_soon", "Names().resolve"])
def test_a_program_ends_though_a_name_server_does_not_answer(how: str) -> None:
    """The system's resolver cannot be given up: its thread is left behind."""
    program = f"""
import asyncio, socket, time
socket.getaddrinfo = lambda *_, **__: time.sleep(600)
from anabranch.net import Names, resolve_soon
async def work():
    try:
        async with asyncio.timeout(0.01):
            await {how}("a.example", 80)
    except TimeoutError:
        print("late")
asyncio.run(work())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "late\n"
