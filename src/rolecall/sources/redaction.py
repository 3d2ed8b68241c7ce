"""Keep keys out of botocore's own debug logs, which print requests and answers whole."""

from __future__ import annotations

import logging
import re

#: Loggers of botocore that print requests, signatures or answers at DEBUG. A filter acts on the
#: logger it is attached to and not on its children, so each is named.
LOGGERS = (
    "botocore.auth",
    "botocore.awsrequest",
    "botocore.client",
    "botocore.credentials",
    "botocore.endpoint",
    "botocore.handlers",
    "botocore.hooks",
    "botocore.httpsession",
    "botocore.parsers",
    "botocore.regions",
    "botocore.retries.standard",
    "botocore.retryhandler",
    "botocore.session",
    "botocore.signers",
    "botocore.tokens",
    "botocore.utils",
    "urllib3.connectionpool",
)

_NAMES = (
    r"(?:aws_)?secret_?access_?key|secretkey|(?:aws_)?session_?token|x-amz-security-token"
    r"|x-amz-s3session-token|web_?identity_?token|samlassertion|context_?assertion|external_?id"
    r"|token_?code"
    # What sources sign in with: IAM Identity Center and the instance metadata service.
    r"|x-amz-sso_bearer_token|(?:access|refresh|id)_?token|client_?secret|x-aws-ec2-metadata-token"
)
#: ``name`` then anything that ends a name (quotes, ``=``, ``:``, ``>``), then the value.
_SECRETS = re.compile(
    rf"(?P<name>\b(?:{_NAMES})\b)(?P<between>['\"]?\s*(?:[=:>]|%3D)\s*b?['\"]?)"
    r"(?P<value>[^\s'\"<>&,;)}\\]+)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return *text* with the values of secret fields replaced by ``***``."""
    return _SECRETS.sub(r"\g<name>\g<between>***", text)


class Redacting(logging.Filter):
    """Let every record pass, with the values of secret fields replaced."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, after replacing what is secret in *record*."""
        try:
            said = record.getMessage()
        except Exception:  # a record whose arguments do not fit says so where it is handled
            return True
        safe = redact(said)
        if safe != said:
            record.msg, record.args = safe, ()
        if record.exc_info and not record.exc_text:
            # Handlers print this text where it is there, instead of the traceback.
            record.exc_text = redact(_FORMATTER.formatException(record.exc_info))
        return True


_FORMATTER = logging.Formatter()
_FILTER = Redacting()


def redact_logs() -> None:
    """Attach the filter to botocore's loggers; does nothing the second time."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
