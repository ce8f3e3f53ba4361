"""Peers that follow a script over real sockets, on an address of their own.

Each has a thread with an event loop for all its connections, so that it serves tests of any kind: with threads, with
asyncio, or beside another program altogether.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

from anabranch.metainfo import Metainfo
from anabranch.model import Address

from .kinds import KINDS
from .scene import Content, Deaf, Hear, Pause, Reset, Scene, Script

_DIAL_TIMEOUT = 10.0  # seconds
_REFUSED_PAUSE = 0.2  # seconds after a dial that failed, at least: nobody listens yet, or the system has no port left
_RECEIVE_SIZE = 256 * 1024  # bytes
_BACKLOG = 128
_PATIENCE = 10.0  # seconds that a thread may take to begin or end
_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # Linux, ip(7): the port is chosen when the dial is made

CLOSED, RESET, REFUSED, DONE = "closed by the victim", "reset by the victim", "refused", "done"


class _HungUp(Exception):
    """The other side closed the connection in order."""


class ScriptedPeer:
    """A peer that follows a script in each of its connections, from `with` to the end of the block.

    It listens, and dials *victim* where there is one. The same seed gives the same bytes, connection by connection.

    Args:
        script: What each connection does.
        metainfo: The torrent.
        host: The address to listen on and to dial from.
        victim: (host, port) to dial again and again; None to wait to be dialed.
        listen_port: 0 for any.
        content: The torrent's right bytes; made-up ones where it is not given.
        seed: Chooses what is drawn.
        crowd: Connections at a time, when it dials.
        again: Seconds until a connection that ended is dialed anew.

    Attributes:
        address: Where it listens.
        connections: How many there have been, both ways.
        open: How many there are now.
        sent, heard: Bytes.
        endings: How often connections ended in which way: "closed by the victim", "reset by the victim", "refused"
            (the dial failed), "done" (the script came to its end).
        ended: How the last one ended; empty while none has.
    """

    def __init__(
        self,
        script: Script,
        metainfo: Metainfo,
        *,
        host: str = "127.0.0.1",
        victim: tuple[str, int] | None = None,
        listen_port: int = 0,
        content: Content | None = None,
        seed: int = 0,
        crowd: int = 1,
        again: float = 1.0,
    ) -> None:
        self.address = Address(host, listen_port)
        self.connections = 0
        self.open = 0
        self.sent = 0
        self.heard = 0
        self.ended = ""
        self.endings: Counter[str] = Counter()
        self._script = script
        self._info = metainfo.info
        self._content = content
        self._seed = seed
        self._dials = (victim, crowd, again)
        self._their_id = b""
        self._failure: BaseException | None = None
        self._stop: Callable[[], None] = _nothing_to_stop

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(tuple(self.address))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self.address = Address(*listener.getsockname()[:2])
        begun = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(listener, begun), name=f"hostile {self.address.host}", daemon=True
        )
        self._thread.start()
        begun.wait(_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join(_PATIENCE)
        if self._failure is not None and error is None:
            raise self._failure

    # Its own thread.

    def _work(self, listener: socket.socket, begun: threading.Event) -> None:
        try:
            with listener:
                asyncio.run(self._live(listener, begun))
        except asyncio.CancelledError:
            return
        except BaseException as failure:  # noqa: BLE001 - a mistake in a script is raised where the block ends
            self._failure = failure

    async def _live(self, listener: socket.socket, begun: threading.Event) -> None:
        loop, whole = asyncio.get_running_loop(), asyncio.current_task()
        assert whole is not None  # a coroutine of asyncio.run()
        stop = whole.cancel

        def stop_soon() -> None:
            with suppress(RuntimeError):  # the loop is closed: it has stopped
                loop.call_soon_threadsafe(stop)

        self._stop = stop_soon
        victim, crowd, again = self._dials
        async with asyncio.TaskGroup() as group:
            group.create_task(self._accept(listener, group))
            for _ in range(crowd if victim is not None else 0):
                group.create_task(self._dial(victim, again))
            begun.set()

    async def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError:  # gone before it was welcomed, or no descriptor is left
                await asyncio.sleep(_REFUSED_PAUSE)
                continue
            group.create_task(self._follow(sock, dials=False))

    async def _dial(self, victim: tuple[str, int] | None, again: float) -> None:
        loop = asyncio.get_running_loop()
        while victim is not None:
            try:
                sock = self._new_socket()
            except OSError:
                await self._refused(again)
                continue
            try:
                async with asyncio.timeout(_DIAL_TIMEOUT):
                    await loop.sock_connect(sock, victim)
            except OSError:  # TimeoutError among them
                sock.close()
                await self._refused(again)
            except BaseException:
                sock.close()
                raise
            else:
                await self._follow(sock, dials=True)
                await asyncio.sleep(again)

    def _new_socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self.address.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            with suppress(OSError):  # elsewhere the port is chosen here
                sock.setsockopt(socket.IPPROTO_IP, _NO_PORT, 1)
            sock.bind((self.address.host, 0))
        except OSError:
            sock.close()
            raise
        return sock

    async def _refused(self, again: float) -> None:
        self.ended = REFUSED
        self.endings[REFUSED] += 1
        await asyncio.sleep(max(again, _REFUSED_PAUSE))

    async def _follow(self, sock: socket.socket, *, dials: bool) -> None:
        """One connection, from its first byte to its last."""
        number = self.connections
        self.connections += 1
        self.open += 1
        draw = Random(f"{self._seed} {number}")
        scene = Scene(self._info, dials=dials, draw=draw, content=self._content, their_id=self._their_id)
        ended = RESET
        try:
            sock.setblocking(False)
            ended = await self._act(sock, scene)
        except* _HungUp:
            ended = CLOSED
        except* OSError:
            ended = RESET
        finally:
            sock.close()
            self._their_id = scene.their_id
            self.open -= 1
        self.ended = ended
        self.endings[ended] += 1
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # a fault at the same moment took the cancellation's place
            raise asyncio.CancelledError

    async def _act(self, sock: socket.socket, scene: Scene) -> str:
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(sock, scene, news))
            for step in self._script(scene):
                match step:
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Hear(seconds):
                        news.clear()  # before looking: what comes after this is never missed
                        if not scene.frames:
                            await _at_most(seconds, news.wait())
                    case Deaf():
                        reading.cancel()
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    case Reset():
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        break
                    case data:
                        await loop.sock_sendall(sock, data)
                        self.sent += len(data)
                        await asyncio.sleep(0)  # a socket that takes everything would keep the others waiting
            reading.cancel()
        return DONE

    async def _read(self, sock: socket.socket, scene: Scene, news: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(sock, _RECEIVE_SIZE):
            self.heard += len(data)
            scene.receive(data)
            news.set()
        raise _HungUp


class HostilePeer(ScriptedPeer):
    """A peer that misbehaves in one way: see KINDS for the names, and ScriptedPeer for the rest.

    Raises:
        KeyError: there is no such kind.
    """

    def __init__(
        self,
        kind: str,
        metainfo: Metainfo,
        *,
        host: str = "127.0.0.1",
        victim: tuple[str, int] | None = None,
        listen_port: int = 0,
        content: Content | None = None,
        seed: int = 0,
    ) -> None:
        attack = KINDS[kind]
        super().__init__(
            attack.script,
            metainfo,
            host=host,
            victim=victim,
            listen_port=listen_port,
            content=content,
            seed=seed,
            crowd=attack.crowd,
            again=attack.again,
        )
        self.kind = kind


def _nothing_to_stop() -> None:
    """It has not begun."""


async def _at_most(seconds: float, coming: Coroutine[object, object, object]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await coming
