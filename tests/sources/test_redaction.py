"""botocore's debug log shows no secret, whatever sign-in the source credentials come from."""

from __future__ import annotations

import logging

import pytest

from rolecall.sources.redaction import redact, redact_logs

SECRET = "fake-secret/with+every=sign"


@pytest.mark.parametrize(
    "text",
    [
        "'headers': {'x-amz-sso_bearer_token': '%s', 'User-Agent': 'Boto3'}",
        "'X-Amz-Security-Token': b'%s'",
        "x-amz-security-token:%s\nhost:sts",
        "<SecretAccessKey>%s</SecretAccessKey>",
        '{"accessToken": "%s", "expiresIn": 3600}',
        '"clientSecret":"%s"',
        "x-aws-ec2-metadata-token: %s",
    ],
)
def test_a_secret_field_keeps_its_name_and_loses_its_value(text: str) -> None:
    assert redact(text % SECRET) == text % "***"


def test_a_traceback_that_botocore_logs_is_redacted_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    redact_logs()
    try:
        raise RuntimeError(f"the vault said secret_access_key={SECRET}")
    except RuntimeError:
        logging.getLogger("botocore.credentials").warning("refresh failed", exc_info=True)

    assert "RuntimeError: the vault said secret_access_key=***" in caplog.text
    assert SECRET not in caplog.text


def test_what_is_no_secret_stays() -> None:
    text = "'NextToken': 'abc', 'AccessKeyId': 'ASIAFAKE', 'TokenCodeless': 1"

    assert redact(text) == text
