"""A federation endpoint on loopback that speaks getSigninToken, and that can misbehave."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from rolecall.testing import StrictCloud

NOT_FEDERATED = "Only federation tokens or assume role tokens may be used for federated login"
INVALID = "Invalid credentials parameter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body).items()}


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that hang up."""


class FederationEndpoint:
    """Takes what AWS takes: POSTed keys of a role's session that the *cloud* issued and accepts.

    Attributes:
        chained_roles: Names of roles that were assumed with a session's credentials.
        asked: What arrived, in order.
        token: What is answered.
        raw: Makes of a request the bytes that are answered instead, status line and all.
    """

    def __init__(
        self,
        cloud: StrictCloud | None,
        chained_roles: Collection[str] = (),
        *,
        certificate: Path | None = None,
    ) -> None:
        self.cloud = cloud
        self.chained_roles = chained_roles
        self.asked: list[Asked] = []
        self.token = "fake-signin-token/with+every=sign&more"
        self.raw: Callable[[Asked], bytes] | None = None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 20

            def do_POST(self) -> None:
                endpoint._answer(self)

            do_GET = do_CONNECT = do_POST

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False  # so that closing waits for them
        self._scheme = "http"
        if certificate is not None:
            self._scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is made by the thread that answers, not by the one that accepts.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FederationEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        asked = Asked(
            method=handler.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in handler.headers.items()},
            body=handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode(),
        )
        self.asked.append(asked)
        if self.raw is not None:
            handler.wfile.write(self.raw(asked))
            return
        refused = self._refused(asked)
        body = (refused or json.dumps({"SigninToken": self.token})).encode()
        handler.send_response(400 if refused else 200)
        handler.send_header("Content-Type", "text/plain" if refused else "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _refused(self, asked: Asked) -> str | None:
        """Return why AWS would not answer a token."""
        if asked.method != "POST" or asked.query or asked.path != "/federation":
            return "the keys are to be POSTed"
        if not set(asked.form) <= {"Action", "Session", "SessionDuration"}:
            return f"unknown parameters: {sorted(asked.form)}"
        if asked.form.get("Action") != "getSigninToken":
            return "unknown Action"
        keys = json.loads(asked.form["Session"])
        if set(keys) != {"sessionId", "sessionKey", "sessionToken"}:
            return INVALID
        arn = self._who(keys)
        if arn is None:
            return INVALID
        kind, _, name = arn.split(":")[5].partition("/")
        if kind not in ("assumed-role", "federated-user"):
            return NOT_FEDERATED
        duration = asked.form.get("SessionDuration")
        if duration is None:
            return None
        if not 900 <= int(duration) <= 43200 or name.split("/")[0] in self.chained_roles:
            return INVALID
        return None

    def _who(self, keys: dict[str, str]) -> str | None:
        """Return who the cloud says has the *keys*; None: it does not accept them."""
        assert self.cloud is not None, "nobody here can tell whose keys these are: answer raw"
        client = boto3.Session(
            aws_access_key_id=keys["sessionId"],
            aws_secret_access_key=keys["sessionKey"],
            aws_session_token=keys["sessionToken"],
        ).client(
            "sts",
            region_name="us-east-1",
            endpoint_url=self.cloud.url,
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            return str(client.get_caller_identity()["Arn"])
        except ClientError:
            return None


def answering(status: str, body: bytes = b"", *headers: str) -> Callable[[Asked], bytes]:
    """Return what answers any request with *status*, such as ``400 Bad Request``."""
    lines = [f"HTTP/1.0 {status}", f"Content-Length: {len(body)}", *headers]
    return lambda _: "\r\n".join([*lines, "", ""]).encode() + body
