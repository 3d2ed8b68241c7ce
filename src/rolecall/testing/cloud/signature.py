"""Whether a request was signed with a given secret key: SigV4, and S3's presigned SigV2."""

from __future__ import annotations

import base64
import hashlib
import hmac
import posixpath
from urllib.parse import quote, unquote, urlsplit

from .request import S3_NAMES, Authorization, Request

_UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_SHA256_HEX_LENGTH = 64


def signed_with(secret_key: str, request: Request, authorization: Authorization) -> bool:
    """Return whether *request* carries the signature that *secret_key* gives."""
    if authorization.scheme == "s3-query":
        expected = _presigned_v2(secret_key, request, authorization)
    else:
        expected = _v4(secret_key, request, authorization)
    return hmac.compare_digest(expected.encode(), authorization.signature.encode())


def body_as_signed(request: Request) -> bool:
    """Return whether the body is the one whose digest was signed, where one was."""
    signed = request.headers.get("x-amz-content-sha256", "")
    return len(signed) != _SHA256_HEX_LENGTH or signed == hashlib.sha256(request.body).hexdigest()


def _v4(secret_key: str, request: Request, authorization: Authorization) -> str:
    canonical = "\n".join(
        (
            request.method,
            _path(request, authorization),
            _query(request.query),
            *(
                f"{name}:{' '.join(request.headers.get(name, '').split())}"
                for name in authorization.signed_headers
            ),
            "",
            ";".join(authorization.signed_headers),
            _payload(request, authorization),
        )
    )
    scope = f"{authorization.date}/{authorization.region}/{authorization.service}/aws4_request"
    to_sign = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            authorization.timestamp,
            scope,
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def _path(request: Request, authorization: Authorization) -> str:
    if authorization.service in S3_NAMES:
        return request.path
    normal = posixpath.normpath(request.path)
    # normpath keeps a leading // and drops a trailing /; SigV4 wants neither.
    normal = "/" + normal.lstrip("/")
    if request.path.endswith("/") and normal != "/":
        normal += "/"
    return quote(normal, safe="/~")


def _query(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(
        f"{name}={value}"
        for name, value in sorted((_encoded(name), _encoded(value)) for name, _, value in pairs)
        if name != "X-Amz-Signature"
    )


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="-_.~")


def _payload(request: Request, authorization: Authorization) -> str:
    if "x-amz-content-sha256" in request.headers:
        return request.headers["x-amz-content-sha256"]
    if authorization.scheme == "query" and authorization.service in S3_NAMES:
        return _UNSIGNED_PAYLOAD
    return hashlib.sha256(request.body).hexdigest()


def _presigned_v2(secret_key: str, request: Request, authorization: Authorization) -> str:
    from botocore.auth import HmacV1Auth
    from botocore.credentials import Credentials

    amz = {name.lower(): value for name, value in request.parameters.items() if _is_amz(name)} | {
        name: value for name, value in request.headers.items() if _is_amz(name)
    }
    url = f"{request.path}?{request.query}" if request.query else request.path
    to_sign = "\n".join(
        (
            request.method,
            request.headers.get("content-md5", ""),
            request.headers.get("content-type", ""),
            authorization.timestamp,
            *(f"{name}:{amz[name].strip()}" for name in sorted(amz)),
            HmacV1Auth(Credentials("-", "-")).canonical_resource(urlsplit(url)),
        )
    )
    digest = hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _is_amz(name: str) -> bool:
    return name.lower().startswith("x-amz-")
