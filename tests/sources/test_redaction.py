"""botocore's debug log shows no secret, whatever sign-in the source credentials come from."""

from __future__ import annotations

import pytest

from rolecall.sources.redaction import redact

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


def test_what_is_no_secret_stays() -> None:
    text = "'NextToken': 'abc', 'AccessKeyId': 'ASIAFAKE', 'TokenCodeless': 1"

    assert redact(text) == text
