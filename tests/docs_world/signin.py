"""AWS's sign-in on loopback: gives a token for a session's keys that are POSTed to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class _SignIn(BaseHTTPRequestHandler):
    timeout = 20

    def do_POST(self) -> None:
        """Answer a request for a sign-in token."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode("ascii"))
        session = json.loads(form["Session"][0])
        good = form["Action"] == ["getSigninToken"] and session["sessionToken"]
        body = json.dumps({"SigninToken": "fake-signin-token"}).encode("ascii")
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def sign_in() -> Iterator[str]:
    """Run it inside ``with``; give its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _SignIn)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/federation"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
