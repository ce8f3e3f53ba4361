"""nginx as a seat: it serves a case's content by HTTP in one process, whose CPU time and memory are told as a seeder's.

It is set up for speed: sendfile, connections that stay open, no log.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .gauge import Address
from .program import installed
from .seats import Job, Seat, free_port, is_listening
from .testbed import open_tests

if TYPE_CHECKING:
    from authority import Authority

MISSING = installed("nginx")
NAME = "seed.test"  # what its certificate is for, beside its address

_CONFIG = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path temporary/body;
    proxy_temp_path temporary/proxy;
    fastcgi_temp_path temporary/fastcgi;
    uwsgi_temp_path temporary/uwsgi;
    scgi_temp_path temporary/scgi;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    limit_rate {rate};
    server {{
        listen {host}:{port}{tls};
        {certificate}
        root "{folder}";
    }}
}}
"""


class Nginx(Seat):
    """A server of the folder that a job's content is in.

    Args:
        job, place, host: As for every seat.
        rate: Bytes per second for each connection; 0: as fast as it goes.
        authority: Speaks TLS with that one's certificate.
    """

    def __init__(self, job: Job, place: Path, host: str, *, rate: int = 0, authority: Authority | None = None) -> None:
        super().__init__(job, place, host)
        self.addresses = [(host, free_port(host))]
        self._rate = rate
        self._authority = authority

    @property
    def url(self) -> str:
        """What a torrent names: that of the file, or of the folder that a folder is in."""
        host, port = self.addresses[0]
        scheme = "https" if self._authority is not None else "http"
        return f"{scheme}://{host}:{port}/{self.job.content.name if self.job.content.is_file() else ''}"

    def seed(self, peers: Sequence[Address] = ()) -> None:
        """As of every seat."""
        (self.place / "temporary").mkdir()
        certificate = ""
        if self._authority is not None:
            certificate = f'ssl_certificate "{self._authority.chain}"; ssl_certificate_key "{self._authority.key}";'
        host, port = self.addresses[0]
        config = self.place / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                rate=self._rate,
                host=host,
                port=port,
                tls=" ssl" if certificate else "",
                certificate=certificate,
                folder=self.job.content.parent,
            )
        )
        self.start("nginx", "-p", self.place, "-c", config, "-e", "stderr")
        self.until(lambda: is_listening(self.addresses[0]), 20, "listening")

    def fetch(self, peers: Sequence[Address]) -> None:
        """It cannot."""
        raise NotImplementedError


def authority(place: Path, host: str) -> Authority:
    """An authority of our own and a server's certificate for *host*, made in the directory *place* as the tests do."""
    open_tests()
    from authority import make_authority

    return make_authority(place, NAME, host)
