"""The one call to AWS's federation endpoint: keys are POSTed, a sign-in token comes back.

Neither is shown: in no URL, log or error, not even where the endpoint sends back what it was sent.
"""

from __future__ import annotations

import html
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.config import Config
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
)
from botocore.httpsession import URLLib3Session
from botocore.response import StreamingBody
from botocore.session import Session
from botocore.utils import get_environ_proxies

from .._version import __version__
from ..errors import AccessDenied, FetchError, RolecallError, Throttled, Unreachable
from ..sources.clients import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from ..sources.quote import quote as quoted
from ..sources.quote import redact

#: A sign-in token has some 2 KiB. What is longer is some other page.
LARGEST_ANSWER = 64 * 1024

#: The first, and one more where no connection came about.
TRIES = 2
_NO_CONNECTION = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)

_MOST_CHARACTERS = 200
_UNSEEN = re.compile(r"(?is)<(script|style|head)\b.*?</\1\s*>|<[^>]*>")

#: In AWS's refusal → what to do about it.
_HINTS: Mapping[str, str] = {
    "federation tokens": "assume a role with these credentials: sessions of IAM users and of root "
    "cannot sign in",
    "expired": "the session's credentials expired or were revoked: renew them",
}
_NO_DURATION = (
    "leave duration out: AWS accepts one only where a role was assumed with long-term keys"
)
_NOT_ACCEPTED = "check that the credentials are a role's, valid, and of the endpoint's partition"
_ANOTHER_PAGE = "check endpoint_url and proxy: something else answers there"


def sign_in_token(
    session: Session, url: str, form: Mapping[str, str], *, what: str, secrets: Sequence[str]
) -> str:
    """Return the sign-in token that the federation endpoint at *url* gives for *form*.

    Args:
        session: Whose proxies and CA bundle are used.
        what: Starts the message of an error.
        secrets: What no message may hold.

    Raises:
        AccessDenied: the endpoint does not accept the keys.
        FetchError: there is no answer, or none with a token in it.
    """
    proxies = _proxies(session, url)
    hidden = [*_spellings(secrets), *_passwords(proxies)]
    status, body, trouble = 0, b"", ""
    client = _client(session, url, proxies)
    try:
        with _hidden_in_logs(hidden):
            status, body = _send(client, _request(url, form))
    except Exception as error:  # botocore's, or urllib3's own; each may hold the request
        trouble = quoted(error, secrets=hidden).text
    finally:
        client.close()
    # Raised out here, so that what holds the keys is no context of ours either.
    where = f"{what}: {urlsplit(url).netloc}"
    context = {"endpoint": url, "status": status or None}
    if trouble:
        raise Unreachable(f"{where}: {trouble}", context=context)
    if len(body) > LARGEST_ANSWER:
        message = f"{where} answered more than {LARGEST_ANSWER} bytes"
        raise Unreachable(message, hint=_ANOTHER_PAGE, context=context)
    if status != 200:
        text = redact(_words(body), hidden)[:_MOST_CHARACTERS]
        raise _refusal(where, status, text, context, with_duration="SessionDuration" in form)
    token = _token_in(body)
    if token is None:
        message = f"{where} answered no sign-in token"
        raise Unreachable(message, hint=_ANOTHER_PAGE, context=context)
    return token


#: Loggers that may quote an answer which quotes the request, such as in a header that is none.
LOGGERS = (
    "botocore.awsrequest",
    "botocore.httpsession",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)

_hidden: ContextVar[Sequence[str]] = ContextVar("hidden", default=())


class _Hiding(logging.Filter):
    """Let every record pass, without what is hidden in this thread."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, after replacing what is hidden in *record*."""
        hidden = _hidden.get()
        if hidden:
            try:
                said = record.getMessage()
            except Exception:  # a record whose arguments do not fit is nobody's sign-in
                said = str(record.msg)
            record.msg, record.args = redact(said, hidden), ()
            if record.exc_info:
                # Handlers print this text where it is there, instead of the traceback.
                trace = logging.Formatter().formatException(record.exc_info)
                record.exc_text, record.exc_info = redact(trace, hidden), None
        return True


_FILTER = _Hiding()


@contextmanager
def _hidden_in_logs(secrets: Sequence[str]) -> Iterator[None]:
    for name in LOGGERS:
        # Never removed: a list that another thread walks through is not to get shorter.
        logging.getLogger(name).addFilter(_FILTER)
    mark = _hidden.set(secrets)
    try:
        yield
    finally:
        _hidden.reset(mark)


def _client(session: Session, url: str, proxies: Mapping[str, str]) -> URLLib3Session:
    config: Config | None = session.get_default_client_config()
    chosen = dict(getattr(config, "proxies_config", None) or {})
    # A proxy that forwards reads what it forwards. It may read signed requests, but not these.
    chosen.pop("proxy_use_forwarding_for_https", None)
    environ = os.environ  # noqa: TID251 - border: where botocore's clients look, too
    bundle = session.get_config_variable("ca_bundle") or environ.get("REQUESTS_CA_BUNDLE")
    make: Any = URLLib3Session  # whose types know neither a bundle nor two time-outs
    client: URLLib3Session = make(
        verify=bundle or True,  # never False, whatever a session says
        proxies=dict(proxies),
        proxies_config=chosen,
        timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
    )
    return client


def _proxies(session: Session, url: str) -> Mapping[str, str]:
    """Return the proxies of *session*, else of the environment; none where TLS hides nothing."""
    if not url.startswith("https:"):
        return {}
    config: Config | None = session.get_default_client_config()
    own: Mapping[str, str] | None = getattr(config, "proxies", None)
    return get_environ_proxies(url) if own is None else own


def _request(url: str, form: Mapping[str, str]) -> AWSPreparedRequest:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # so that LARGEST_ANSWER is what is read
        "User-Agent": f"rolecall/{__version__}",
    }
    body = urlencode(form).encode("ascii")
    # The answer is streamed, or botocore would read all of it, however much it is.
    request: Any = AWSRequest("POST", url, headers=headers, data=body, stream_output=True)
    prepared: AWSPreparedRequest = request.prepare()
    return prepared


def _send(client: URLLib3Session, request: AWSPreparedRequest) -> tuple[int, bytes]:
    """Return the answer's status, and as much of its body as matters."""
    tries = 1
    while True:
        try:
            answer: Any = client.send(request)
            break
        except _NO_CONNECTION:
            if tries == TRIES:
                raise
            tries += 1
    stream: Any = StreamingBody  # whose types ask for a length
    body: Any = stream(answer.raw, None)  # its errors are botocore's
    try:
        return answer.status_code, body.read(LARGEST_ANSWER + 1)
    finally:
        body.close()


def _token_in(body: bytes) -> str | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    token = said.get("SigninToken") if isinstance(said, dict) else None
    return token if isinstance(token, str) and token and token.isprintable() else None


def _refusal(
    where: str, status: int, text: str, context: Mapping[str, Any], *, with_duration: bool
) -> RolecallError:
    if 300 <= status < 400:
        message = f"{where} redirects (HTTP {status}), and keys are not sent on"
        return Unreachable(message, hint=_ANOTHER_PAGE, context=context, retryable=False)
    message = f"{where} says HTTP {status}" + (f": {text}" if text else "")
    if status in (400, 401, 403):
        hint = next((do for word, do in _HINTS.items() if word in text.lower()), "")
        usual = _NO_DURATION if with_duration else _NOT_ACCEPTED
        return AccessDenied(message, hint=hint or usual, context=context)
    if status == 429:
        return Throttled(message, hint="wait before the next sign-in", context=context)
    if status >= 500:
        return Unreachable(message, context=context)
    return FetchError(message, hint=_ANOTHER_PAGE, context=context, retryable=False)


def _words(body: bytes) -> str:
    """Return what a person would read of an answer, be it text, HTML or JSON."""
    text = body.decode("utf-8", "replace")
    text = html.unescape(_UNSEEN.sub(" ", text))
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _spellings(secrets: Iterable[str]) -> list[str]:
    """Return *secrets* as an endpoint may send them back; the longest first."""
    found = set()
    for secret in secrets:
        found |= {secret, quote(secret, safe=""), quote_plus(secret), quote(secret)}
    return sorted(found, key=len, reverse=True)


def _passwords(proxies: Mapping[str, str]) -> list[str]:
    """Return what of the proxies' URLs is nobody's business: errors may quote a part of one.

    That of a password which was not quoted, and so ends at its first slash, as urllib3 sees it.
    """
    users = [url.rpartition("@")[0].rpartition("://")[2] for url in proxies.values()]
    passwords = [user.partition(":")[2] for user in users]
    return [part for one in passwords for part in (one, one.partition("/")[0]) if part]
