"""An AWS request as it arrived: who signed it, for which service, and what it asks for."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

#: WSGI environ key of the headers under the names they were sent with, in lower case. WSGI's own
#: spelling cannot tell ``x-amz-meta-a_b`` from ``x-amz-meta-a-b``, and a signature must.
HEADERS_KEY = "rolecall.headers"

#: Signing names whose paths are signed as they were sent. [SigV4, S3 exception]
S3_NAMES = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda"})

#: REST services that speak XML besides S3.
_REST_XML = frozenset({"cloudfront", "route53"})

#: What AWS answers without a signature. [STS API reference]
UNSIGNED_STS = frozenset({"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"})

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<scope>[^,\s]+)\s*,\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+)\s*,\s*Signature=(?P<signature>\S+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """Who signed a request, and how.

    Attributes:
        scheme: ``header`` and ``query`` are SigV4; ``s3-query`` is S3's presigned SigV2.
        timestamp: ``X-Amz-Date``, or ``Expires`` in epoch seconds with ``s3-query``.
        expires_seconds: How long a presigned URL may be used; 0 with ``header``.
    """

    scheme: str
    access_key: str
    timestamp: str
    date: str = ""
    region: str = ""
    service: str = "s3"
    signed_headers: tuple[str, ...] = ()
    expires_seconds: int = 0
    signature: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, read in full.

    Attributes:
        path: As it was sent, still percent-encoded.
        query: The raw query string.
        headers: By their names in lower case.
        parameters: Form and query parameters, where the protocol has them.
        protocol: ``query``, ``ec2``, ``s3``, ``json``, ``rest-json``, ``rest-xml`` or ``cbor``.
        operation: The API's name of what is asked for; empty where only the service's model
            can tell.
    """

    method: str
    path: str
    query: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)
    authorization: Authorization | None
    service: str
    protocol: str
    operation: str


def read_request(environ: Mapping[str, Any]) -> Request:
    """Return the request of a WSGI *environ*, reading its body."""
    uri = str(environ["REQUEST_URI"])
    if uri.startswith("http://"):
        uri = "/" + uri.partition("://")[2].partition("/")[2]
    path, _, query = uri.partition("?")
    headers: Mapping[str, str] = environ[HEADERS_KEY]
    body = environ["wsgi.input"].read()
    in_query = dict(parse_qsl(query, keep_blank_values=True))
    in_form = {}
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        in_form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    authorization = _authorization(headers, in_query)
    action = in_form.get("Action") or in_query.get("Action") or ""
    service = _service(authorization, action)
    protocol = _protocol(service, headers, action)
    return Request(
        method=str(environ["REQUEST_METHOD"]),
        path=path or "/",
        query=query,
        headers=headers,
        body=body,
        parameters={**in_query, **in_form},
        authorization=authorization,
        service=service,
        protocol=protocol,
        operation=_operation(protocol, path, headers, action),
    )


def forwarded(environ: dict[str, Any], request: Request, account: str) -> dict[str, Any]:
    """Return *environ* as moto wants it, to be answered from the state of *account*."""
    forward = dict(environ)
    forward.pop("HTTP_TRANSFER_ENCODING", None)
    raw = f"{request.path}?{request.query}" if request.query else request.path
    forward.update(
        {
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.input_terminated": False,
            "CONTENT_LENGTH": str(len(request.body)),
            # The server leaves %2F alone; moto expects what werkzeug's server would hand it.
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "REQUEST_URI": raw,
            "RAW_URI": raw,
            "HTTP_X_MOTO_ACCOUNT_ID": account,
            "moto.preserved_header_names": {
                "HTTP_" + name.upper().replace("-", "_"): name
                for name in request.headers
                if name.startswith("x-amz-meta-") and "_" in name
            },
        }
    )
    return forward


def _authorization(headers: Mapping[str, str], query: Mapping[str, str]) -> Authorization | None:
    match = _HEADER.match(headers.get("authorization", ""))
    if match:
        return _sigv4(
            "header",
            match["scope"],
            match["headers"],
            signature=match["signature"],
            timestamp=headers.get("x-amz-date", ""),
            token=headers.get("x-amz-security-token"),
        )
    if query.get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256":
        return _sigv4(
            "query",
            query.get("X-Amz-Credential", ""),
            query.get("X-Amz-SignedHeaders", ""),
            signature=query.get("X-Amz-Signature", ""),
            timestamp=query.get("X-Amz-Date", ""),
            token=query.get("X-Amz-Security-Token") or headers.get("x-amz-security-token"),
            expires_seconds=_whole_number(query.get("X-Amz-Expires", "")),
        )
    if "AWSAccessKeyId" in query and "Signature" in query:
        return Authorization(
            scheme="s3-query",
            access_key=query["AWSAccessKeyId"],
            timestamp=query.get("Expires", ""),
            signature=query["Signature"],
            token=query.get("x-amz-security-token"),
        )
    return None


def _sigv4(
    scheme: str,
    scope: str,
    signed_headers: str,
    *,
    signature: str,
    timestamp: str,
    token: str | None,
    expires_seconds: int = 0,
) -> Authorization | None:
    parts = scope.split("/")
    if len(parts) != 5:
        return None
    access_key, date, region, service, _ = parts
    return Authorization(
        scheme=scheme,
        access_key=access_key,
        timestamp=timestamp,
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(signed_headers.split(";")),
        expires_seconds=expires_seconds,
        signature=signature,
        token=token,
    )


def _whole_number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _service(authorization: Authorization | None, action: str) -> str:
    if authorization is not None:
        return authorization.service
    # Only a few operations are asked for without a signature; the rest are anonymous S3.
    return "sts" if action in UNSIGNED_STS else "s3"


def _protocol(service: str, headers: Mapping[str, str], action: str) -> str:
    if "smithy-protocol" in headers:
        return "cbor"
    if "x-amz-target" in headers:
        return "json"
    if service in S3_NAMES:
        return "s3"
    if service == "ec2":
        return "ec2"
    if action:
        return "query"
    return "rest-xml" if service in _REST_XML else "rest-json"


def _operation(protocol: str, path: str, headers: Mapping[str, str], action: str) -> str:
    if protocol == "cbor":
        return path.rsplit("/", 1)[-1]
    if protocol == "json":
        return headers["x-amz-target"].rsplit(".", 1)[-1]
    return action if protocol in ("query", "ec2") else ""
