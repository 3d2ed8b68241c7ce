"""Profiles become chains by botocore's rules, and what is wrong with them is said at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from cases import HUB, READER, vectors

from rolecall.chain import Ambient, Profile, Role, RoleChain, WebIdentity, chain_of_profile
from rolecall.errors import ConfigError

CONFIG = """
[default]
region = eu-west-1
s3 =
    addressing_style = path

[profile hub]
role_arn = arn:aws:iam::111111111111:role/Hub
source_profile = keys

[profile "with blanks"]
role_arn = arn:aws:iam::123456789012:role/Reader
source_profile = hub
role_session_name = me
external_id = fake-external
mfa_serial = arn:aws:iam::123456789012:mfa/me
duration_seconds = 1800

[sso-session corp]
sso_region = eu-west-1
[profile "broken]
[profiles]
"""
CREDENTIALS = """
[keys]
aws_access_key_id = AKIAFAKE
aws_secret_access_key = fake-secret-key
"""


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "config").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "credentials").write_text(CREDENTIALS, encoding="utf-8")
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


@pytest.mark.parametrize(
    "case", [case for case in vectors("profiles") if "chain" in case.values[0]]
)
def test_a_profile_is_a_chain(case):
    chain = chain_of_profile(case["profile"], case["profiles"], {})

    assert case["chain"] == str(chain)


@pytest.mark.parametrize(
    "case", [case for case in vectors("profiles") if "error" in case.values[0]]
)
def test_a_profile_that_does_not_add_up_says_what_to_do(case):
    with pytest.raises(ConfigError) as caught:
        chain_of_profile(case["profile"], case["profiles"], {})

    for part in case["error"]:
        assert part in str(caught.value)
    assert caught.value.hint or "one line" in str(caught.value)
    assert "fake-secret" not in str(caught.value)


def test_all_that_a_profile_says_of_its_role_is_in_the_chain(environ):
    chain = RoleChain.from_profile("with blanks", environ=environ)

    reader = Role(
        READER,
        session_name="me",
        external_id="fake-external",
        mfa_serial="arn:aws:iam::123456789012:mfa/me",
        duration=timedelta(minutes=30),
    )
    assert RoleChain(Profile("keys"), HUB, reader) == chain


def test_a_web_identity_profile_keeps_its_duration():
    profile = {"role_arn": HUB, "web_identity_token_file": "/t", "duration_seconds": "1800"}

    chain = chain_of_profile("p", {"p": profile}, {})

    assert (
        WebIdentity(role_arn=HUB, token_file="/t", duration=timedelta(minutes=30)) == chain.origin
    )


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_the_environment_names_the_profile(environ, variable):
    chain = RoleChain.from_profile(environ={**environ, variable: "hub"})

    assert f"Profile('keys') -> {HUB}" == str(chain)


def test_the_default_profile_is_taken_where_none_is_named(environ):
    assert RoleChain(Profile("default")) == RoleChain.from_profile(environ=environ)


def test_without_files_the_chain_starts_from_whatever_botocore_finds(tmp_path):
    assert RoleChain(Ambient()) == RoleChain.from_profile(environ={"HOME": str(tmp_path)})


def test_the_files_are_found_in_the_home_the_environment_names(tmp_path, environ):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG, encoding="utf-8")
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS, encoding="utf-8")

    chain = RoleChain.from_profile("hub", environ={"HOME": str(tmp_path)})

    assert Profile("keys") == chain.origin


def test_the_process_environment_is_asked_where_none_is_given(monkeypatch, environ):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert Profile("keys") == RoleChain.from_profile("hub").origin


def test_botocores_full_config_is_taken_instead_of_the_files():
    config = {"profiles": {"a": {"role_arn": HUB, "credential_source": "Environment"}}}

    chain = RoleChain.from_profile("a", environ={}, config=config)

    assert f"CredentialSource('Environment') -> {HUB}" == str(chain)


def test_the_file_is_named_in_errors(environ):
    with pytest.raises(ConfigError, match=re.escape(environ["AWS_CONFIG_FILE"])):
        RoleChain.from_profile("nowhere", environ=environ)


def test_reads_the_same_profiles_as_botocore(environ, monkeypatch):
    import botocore.session

    from rolecall.chain.config_file import read_profiles

    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert botocore.session.Session().full_config["profiles"] == read_profiles(environ)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[a]\nfake-secret-line\n", "at line 2 (ParsingError)"),
        (b"fake-secret = 1\n", "at line 1 (MissingSectionHeaderError)"),
        (b"[a]\nx = 1\nx = fake-secret\n", "at line 3 (DuplicateOptionError)"),
        (b"[a]\nx = \xff\n", "(UnicodeDecodeError)"),
    ],
)
def test_a_broken_file_is_named_with_its_line_but_not_quoted(environ, content, says):
    with open(environ["AWS_SHARED_CREDENTIALS_FILE"], "wb") as file:
        file.write(content)

    with pytest.raises(ConfigError) as caught:
        RoleChain.from_profile("hub", environ=environ)

    assert says in str(caught.value)
    assert caught.value.__context__ is None
    assert "fake-secret" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said_to_be(environ, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*irectory"):
        RoleChain.from_profile("hub", environ={**environ, "AWS_CONFIG_FILE": str(tmp_path)})
