"""What AWS answers in each of its protocols, and with which error code for the same fault."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from xml.sax.saxutils import escape

from .request import Request

#: Sent with every answer made here; a made-up id that is easy to recognise.
REQUEST_ID = "00000000-fake-4000-8000-000000000000"

STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)


class Refused(Exception):
    """The request is refused; *code* and *status* are what AWS would answer."""

    def __init__(self, code: str | None, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message


class Rejection(Enum):
    """Why a signature is not accepted."""

    EXPIRED = "The security token included in the request is expired"
    UNKNOWN_KEY = "The security token included in the request is invalid."
    WRONG_TOKEN = "The security token included in the request is invalid"
    WRONG_SIGNATURE = "The request signature we calculated does not match the one you provided"
    UNSIGNED = "Request is missing Authentication Token (SigV4 is what this cloud checks)"


_QUERY = {
    Rejection.EXPIRED: ("ExpiredToken", 403),
    Rejection.UNKNOWN_KEY: ("InvalidClientTokenId", 403),
    Rejection.WRONG_TOKEN: ("InvalidClientTokenId", 403),
    Rejection.WRONG_SIGNATURE: ("SignatureDoesNotMatch", 403),
    Rejection.UNSIGNED: ("MissingAuthenticationToken", 403),
}
_JSON = {
    Rejection.EXPIRED: ("ExpiredTokenException", 400),
    Rejection.UNKNOWN_KEY: ("UnrecognizedClientException", 400),
    Rejection.WRONG_TOKEN: ("UnrecognizedClientException", 400),
    Rejection.WRONG_SIGNATURE: ("InvalidSignatureException", 400),
    Rejection.UNSIGNED: ("MissingAuthenticationTokenException", 400),
}
#: protocol → reason → code and HTTP status. [common errors of STS, EC2, S3 and DynamoDB]
CODES: Mapping[str, Mapping[Rejection, tuple[str, int]]] = {
    "query": _QUERY,
    "rest-xml": _QUERY,
    "ec2": {
        Rejection.EXPIRED: ("RequestExpired", 400),
        Rejection.UNKNOWN_KEY: ("AuthFailure", 401),
        Rejection.WRONG_TOKEN: ("AuthFailure", 401),
        Rejection.WRONG_SIGNATURE: ("AuthFailure", 401),
        Rejection.UNSIGNED: ("MissingAuthenticationToken", 403),
    },
    "s3": {
        Rejection.EXPIRED: ("ExpiredToken", 400),
        Rejection.UNKNOWN_KEY: ("InvalidAccessKeyId", 403),
        Rejection.WRONG_TOKEN: ("InvalidToken", 400),
        Rejection.WRONG_SIGNATURE: ("SignatureDoesNotMatch", 403),
        Rejection.UNSIGNED: ("AccessDenied", 403),
    },
    "json": _JSON,
    "cbor": _JSON,
    "rest-json": {reason: (code, 403) for reason, (code, _) in _JSON.items()},
}


def rejection(protocol: str, reason: Rejection) -> Refused:
    """Return the refusal with which a service of *protocol* answers *reason*."""
    code, status = CODES[protocol][reason]
    return Refused(code, status, reason.value)


def refusal(request: Request, refused: Refused) -> Answer:
    """Return *refused* in the protocol of *request*; an error without a code has no Error."""
    if request.method == "HEAD":
        return Answer(status=refused.status)
    code, message = refused.code, refused.message
    match request.protocol:
        case "json":
            named = {} if code is None else {"__type": code}
            return Answer(
                status=refused.status,
                headers=(("Content-Type", "application/x-amz-json-1.0"),),
                body=json.dumps({**named, "message": message}).encode(),
            )
        case "rest-json":
            return Answer(
                status=refused.status,
                headers=(
                    ("Content-Type", "application/json"),
                    *((("x-amzn-ErrorType", code),) if code is not None else ()),
                ),
                body=json.dumps({"message": message}).encode(),
            )
        case "cbor":
            return Answer(
                status=refused.status,
                headers=(("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")),
                body=_cbor_map({"__type": code or "", "message": message}),
            )
    return Answer(
        status=refused.status,
        headers=(("Content-Type", "text/xml"),),
        body=_xml_error(request.protocol, code, message).encode(),
    )


def _xml_error(protocol: str, code: str | None, message: str) -> str:
    inner = (
        "" if code is None else f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    )
    match protocol:
        case "s3":
            return f"<Error>{inner}<RequestId>{REQUEST_ID}</RequestId></Error>"
        case "ec2":
            error = f"<Errors><Error>{inner}</Error></Errors>" if inner else ""
            return f"<Response>{error}<RequestID>{REQUEST_ID}</RequestID></Response>"
    error = f"<Error><Type>Sender</Type>{inner}</Error>" if inner else ""
    return f"<ErrorResponse>{error}<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"


def _cbor_map(pairs: Mapping[str, str]) -> bytes:
    # RFC 8949: a map of fewer than 24 pairs (0xa0 | n) of texts with 16-bit lengths (0x79).
    texts = (text.encode() for pair in pairs.items() for text in pair)
    return bytes([0xA0 | len(pairs)]) + b"".join(
        b"\x79" + len(text).to_bytes(2, "big") + text for text in texts
    )


def sts_answer(operation: str, result: Mapping[str, object]) -> Answer:
    """Return STS's answer to *operation*; None values are left out."""
    body = (
        f'<{operation}Response xmlns="{STS_NAMESPACE}"><{operation}Result>{_xml(result)}'
        f"</{operation}Result><ResponseMetadata><RequestId>{REQUEST_ID}</RequestId>"
        f"</ResponseMetadata></{operation}Response>"
    )
    return Answer(status=200, headers=(("Content-Type", "text/xml"),), body=body.encode())


def _xml(value: object) -> str:
    if isinstance(value, Mapping):
        return "".join(
            f"<{name}>{_xml(inner)}</{name}>" for name, inner in value.items() if inner is not None
        )
    return escape(str(value))


_CODE_IN_XML = re.compile(rb"<Code>([^<]+)</Code>")
_CODE_IN_JSON = re.compile(rb'"(?:__type|code|Code)"\s*:\s*"(?:[^"#]*#)?([^"]+)"')


def code_of(answer: Answer) -> str | None:
    """Return the error code that *answer* names, None where it names none."""
    if answer.status < 400:
        return None
    for name, value in answer.headers:
        if name.lower() == "x-amzn-errortype":
            return value
    match = _CODE_IN_XML.search(answer.body) or _CODE_IN_JSON.search(answer.body)
    return match[1].decode() if match else None
