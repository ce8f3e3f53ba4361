"""nginx as the web seed of a test: one folder, served from one process that ends when the block does."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authority import Authority

from .real_program import RealProgram

_LOG_FIELDS = {
    "method": "$request_method",
    "target": "$request_uri",
    "range": "$http_range",
    "status": "$status",
    "sent": "$body_bytes_sent",
    "agent": "$http_user_agent",
    "encoding": "$http_accept_encoding",
    "login": "$http_authorization",
    "extra": "$http_x_extra",
    "connection": "$connection",
    "number": "$connection_requests",
}
_CONFIG = """
daemon off;
master_process off;
{user}
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    default_type application/octet-stream;
    log_format told escape=json '{log}';
    access_log {access} told;
    client_body_temp_path temporary/body;
    proxy_temp_path temporary/proxy;
    fastcgi_temp_path temporary/fastcgi;
    uwsgi_temp_path temporary/uwsgi;
    scgi_temp_path temporary/scgi;
    sendfile on;
    tcp_nopush on;
    autoindex off;
    keepalive_timeout 65;
    keepalive_requests {keepalive_requests};
    server {{
        listen {host}:{port}{ssl};
        {more}
        location / {{ root "{folder}"; }}
    }}
}}
"""


@dataclass(frozen=True)
class Served:
    """One request that it has answered, or given up: what it was, and what became of it.

    Args:
        method, target, range, agent, encoding, login, extra: Of the request's head; empty where it was not there;
            *extra* is the header X-Extra.
        status: Of the answer; 499 where the client went before there was one.
        sent: Bytes of the body.
        connection: Its number; which request of the connection it was is *number*, from 1.
    """

    method: str
    target: str
    range: str
    status: int
    sent: int
    agent: str
    encoding: str
    login: str
    extra: str
    connection: int
    number: int


class Nginx(RealProgram):
    """An nginx that runs from `with` to the end of the block; entered again it is back at the same address.

    Args:
        place: Directory of its own.
        folder: What it serves.
        host: Loopback address to listen on.
        authority: It speaks TLS with that one's certificate.
        rate: Bytes per second for each connection; 0 for all that goes.
        login: "user:password" that it insists on.
        keepalive_requests: How many requests it takes by one connection.
    """

    def __init__(
        self,
        place: Path,
        folder: Path,
        host: str = "127.0.14.1",
        *,
        authority: Authority | None = None,
        rate: int = 0,
        login: str = "",
        keepalive_requests: int = 1000,
    ) -> None:
        super().__init__(place, host)
        self._folder = folder
        self._authority = authority
        self._rate = rate
        self._login = login
        self._keepalive_requests = keepalive_requests

    @property
    def url(self) -> str:
        """Scheme, host and port, without a "/" at its end."""
        return f"http{'s' if self._authority is not None else ''}://{self.host}:{self.port}"

    def served(self) -> list[Served]:
        """The requests that it has ended, in that order, over all its runs."""
        lines = self._access.read_text("utf-8").splitlines() if self._access.exists() else []
        found = []
        for line in lines:
            told: dict[str, Any] = json.loads(line)
            told |= {name: int(told[name]) for name in ("status", "sent", "connection", "number")}
            found.append(Served(**told))
        return found

    def _command(self) -> list[str]:
        return ["nginx", "-p", str(self.place), "-c", str(self.place / "nginx.conf"), "-e", "stderr"]

    def _prepare(self) -> None:
        more = []
        if self._authority is not None:
            more += [f'ssl_certificate "{self._authority.chain}";', f'ssl_certificate_key "{self._authority.key}";']
        if self._rate:
            more.append(f"limit_rate {self._rate};")
        if self._login:
            user, _, password = self._login.partition(":")
            (self.place / "logins").write_text(f"{user}:{{PLAIN}}{password}\n")
            more += ['auth_basic "web seed";', f'auth_basic_user_file "{self.place}/logins";']
        (self.place / "temporary").mkdir(exist_ok=True)
        (self.place / "nginx.conf").write_text(
            _CONFIG.format(
                user="user root;" if os.geteuid() == 0 else "",  # nobody may not look into a test's folders
                log=json.dumps(_LOG_FIELDS),
                access=self._access,
                host=self.host,
                port=self.port,
                ssl=" ssl" if self._authority is not None else "",
                keepalive_requests=self._keepalive_requests,
                more="\n        ".join(more),
                folder=self._folder,
            )
        )

    @property
    def _access(self) -> Path:
        return self.place / "access.log"
