"""What is wrong with a configuration is told; what is not wrong can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.chain import chain_of_profile
from rolecall.cli.config_check import check, source_path
from rolecall.cli.config_files import File, Files, lines_of, read_files
from rolecall.cli.config_sections import Finding
from rolecall.errors import ConfigError, InvalidChain

ARN = "arn:aws:iam::123456789012:role/Reader"
KEYS = {"aws_access_key_id": "AKIAFAKE", "aws_secret_access_key": "fake-secret"}
HUB = {"hub": KEYS}

Profiles = dict[str, dict[str, Any]]


def files_of(config: Profiles, credentials: Profiles | None = None, **values: Any) -> Files:
    """Return files with these profiles, and the sections that hold them."""
    credentials = credentials or {}
    merged: Profiles = {name: dict(values) for name, values in config.items()}
    for name, found in credentials.items():
        merged.setdefault(name, {}).update(found)
    sections = {("sso-session corp", None): 1}
    for key in ("sso_start_url", "sso_region"):
        sections["sso-session corp", key] = 2
    return Files(
        config=File(name="~/.aws/config", profiles=config, lines=values.get("lines", sections)),
        credentials=File(
            name="~/.aws/credentials", profiles=credentials, mode=values.get("mode", 0o600)
        ),
        profiles=merged,
    )


def rules(found: list[Finding]) -> list[tuple[str | None, str]]:
    return [(one.profile, one.rule) for one in found]


def role(**values: str) -> dict[str, str]:
    return {"role_arn": ARN, "source_profile": "hub", **values}


@pytest.mark.parametrize(
    "profiles",
    [
        {},
        {"reader": role()},
        {"reader": role(mfa_serial="arn:aws:iam::123456789012:mfa/me", duration_seconds="43200")},
        {"reader": role(), "far": {"role_arn": ARN, "source_profile": "reader"}},
        {"reader": {"role_arn": ARN, "credential_source": "Environment"}},
        {"pod": {"role_arn": ARN, "web_identity_token_file": "/var/run/token"}},
        {"self": {**KEYS, "role_arn": ARN, "source_profile": "self"}},
        {"sso": {"sso_session": "corp", "sso_account_id": "1", "sso_role_name": "Admin"}},
        {"tool": {"credential_process": "/opt/tool"}, "reader": role(source_profile="tool")},
        {"live": {"credential_process": "rolecall credential-process reader"}, "reader": role()},
        {"default": {"region": "eu-west-1"}},
    ],
    ids=repr,
)
def test_a_sound_configuration_has_no_finding(profiles: Profiles) -> None:
    assert check(files_of(profiles, HUB)) == []


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ({"a": role(source_profile="gone")}, [("a", "missing-source")]),
        ({"a": {"role_arn": ARN}}, [("a", "no-source")]),
        ({"a": role(credential_source="Environment")}, [("a", "two-sources")]),
        (
            {"a": {"role_arn": ARN, "credential_source": "environment"}},
            [("a", "unknown-credential-source")],
        ),
        ({"a": role(duration_seconds="an hour")}, [("a", "bad-duration")]),
        ({"a": {"web_identity_token_file": "/token"}}, [("a", "no-role")]),
        ({"a": {"role_arn": {"nested": "x"}, "source_profile": "hub"}}, [("a", "profile")]),
        ({"a": role(role_arn="arn:aws:iam::12:role/Reader")}, [("a", "limit")]),
        ({"a": role(role_session_name="with blank")}, [("a", "limit")]),
        ({"a": role(external_id="x")}, [("a", "limit")]),
        ({"a": role(mfa_serial="short")}, [("a", "limit")]),
        ({"a": role(duration_seconds="899")}, [("a", "limit")]),
        (
            {"a": role(), "b": role(source_profile="a", duration_seconds="3601")},
            [("b", "limit")],
        ),
        (
            {"a": role(), "b": role(source_profile="a", role_arn=ARN.replace("aws:", "aws-cn:"))},
            [("b", "limit")],
        ),
        (
            {"a": role(), "b": role(source_profile="a", mfa_serial="arn:aws:iam::1:mfa/me")},
            [("b", "mfa-in-chain")],
        ),
        (
            {
                "a": {
                    "role_arn": ARN,
                    "credential_source": "EcsContainer",
                    "duration_seconds": "7200",
                }
            },
            [("a", "limit")],
        ),
        (
            {"s": {"sso_session": "corp"}, "a": role(source_profile="s", duration_seconds="7200")},
            [("a", "limit")],
        ),
        (
            {
                "s": {"sso_session": "corp"},
                "a": role(source_profile="s", mfa_serial="GAHT12345678"),
            },
            [("a", "mfa-in-chain")],
        ),
        ({"e": {"region": "x"}, "a": role(source_profile="e")}, [("a", "empty-source")]),
        ({"s": {"sso_session": "gone"}}, [("s", "missing-sso-session")]),
        ({"a": {"aws_access_key_id": "AKIAFAKE"}}, [("a", "half-keys")]),
        ({"a": {**KEYS, **role()}}, [("a", "shadowing-keys")]),
        ({"a": {**KEYS, "credential_process": "/opt/tool"}}, [("a", "shadowing-keys")]),
        ({"default": KEYS}, [("default", "default-keys")]),
        (
            {"a": {"credential_process": "rolecall credential-process a"}},
            [("a", "process-loop")],
        ),
        (
            {
                "a": {"credential_process": "/usr/bin/rolecall credential-process --region x b"},
                "b": role(source_profile="a"),
            },
            [("a", "process-loop")],
        ),
    ],
    ids=repr,
)
def test_each_rule_finds_what_it_is_for(
    profiles: Profiles, expected: list[tuple[str, str]]
) -> None:
    assert rules(check(files_of(profiles, HUB))) == expected


def test_a_loop_is_told_once_with_the_path_walked() -> None:
    profiles = {
        "in": role(source_profile="b"),
        "b": role(source_profile="c"),
        "c": role(source_profile="a"),
        "a": role(source_profile="b"),
    }

    (found,) = check(files_of(profiles))

    assert (found.profile, found.rule) == ("a", "loop")
    assert found.message.endswith("a -> b -> c -> a")


def test_two_loops_are_two_findings() -> None:
    profiles = {one: role(source_profile=other) for one, other in ("ab", "ba", "cd", "dc")}

    assert rules(check(files_of(profiles))) == [("a", "loop"), ("c", "loop")]


def test_what_is_wrong_with_a_source_is_told_of_the_source_alone() -> None:
    profiles = {
        "far": role(source_profile="near"),
        "near": role(source_profile="gone"),
        "other": role(source_profile="near"),
    }

    assert rules(check(files_of(profiles))) == [("near", "missing-source")]


def test_what_is_in_both_files_is_told_without_its_value() -> None:
    found = check(files_of({"a": {**KEYS, "region": "eu-west-1"}}, {"a": KEYS}))

    assert rules(found) == [("a", "in-both-files")]
    assert "aws_access_key_id, aws_secret_access_key" in found[0].message
    assert "fake-secret" not in repr(found)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_with_keys_that_others_may_use_is_told(mode: int) -> None:
    (found,) = check(files_of({}, HUB, mode=mode))

    assert (found.rule, found.hint) == ("open-file", "chmod 600 ~/.aws/credentials")
    assert f"{mode:04o}" in found.message


def test_a_file_without_keys_may_be_read_by_all() -> None:
    assert check(files_of({}, {"hub": {"region": "eu-west-1"}}, mode=0o644)) == []


# Laws

_NAMES = st.sampled_from(["a", "b", "c", "default"])
_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "role_arn": st.sampled_from([ARN, ARN.replace("aws:", "aws-cn:"), "arn:aws:iam::1:role/x"]),
        "source_profile": _NAMES,
        "credential_source": st.sampled_from(["Environment", "EcsContainer", "Nowhere"]),
        "duration_seconds": st.sampled_from(["900", "3600", "3601", "43201", "x"]),
        "mfa_serial": st.sampled_from(["arn:aws:iam::123456789012:mfa/me", "x"]),
        "web_identity_token_file": st.just("/token"),
        "aws_access_key_id": st.just("AKIAFAKE"),
        "aws_secret_access_key": st.just("fake-secret"),
        "credential_process": st.sampled_from(["/opt/tool", "rolecall credential-process a", '"']),
        "sso_session": st.sampled_from(["corp", "gone"]),
        "external_id": st.sampled_from(["fake-external-id", "x"]),
    },
)
CONFIGS = st.dictionaries(_NAMES, _VALUES, max_size=4)


@given(CONFIGS, CONFIGS)
@example({"a": role(source_profile="b"), "b": {**KEYS, **role(source_profile="a")}}, {})
@example({"a": {"web_identity_token_file": "/token", **role(source_profile="a")}}, {})
def test_a_configuration_without_errors_gives_chains_that_may_be_sent(
    config: Profiles, credentials: Profiles
) -> None:
    files = files_of(config, credentials)
    errors = [one for one in check(files) if one.severity == "error"]

    unusable = []
    for name in files.profiles:
        try:
            if chain_of_profile(name, files.profiles, {}).problems():
                unusable.append(name)
        except (ConfigError, InvalidChain):
            unusable.append(name)

    assert not unusable or errors


@given(CONFIGS, CONFIGS)
def test_each_finding_is_of_a_profile_there_is_and_shows_no_secret(
    config: Profiles, credentials: Profiles
) -> None:
    for one in check(files_of(config, credentials)):
        assert one.profile is None or {one.profile} <= config.keys() | credentials.keys()
        assert one.message
        assert one.hint
        assert "fake-secret" not in repr(one)
        assert "fake-external-id" not in repr(one)


@given(CONFIGS)
def test_a_path_of_sources_never_goes_round(profiles: Profiles) -> None:
    for name in profiles:
        path = source_path(name, profiles)
        assert path[0] == name
        assert len(path) == len(set(path))


def test_a_web_identity_has_no_source_whatever_else_it_says() -> None:
    pod = role(web_identity_token_file="/fake/token")

    assert source_path("pod", {"pod": pod, **HUB}) == ["pod"]


# Where it is


def test_lines_are_those_of_the_file() -> None:
    text = "# a comment\n[default]\nregion = x\n\n[profile my]\nRole_Arn=y\n  more = z\n s3 =\n"

    assert lines_of(text) == {
        ("default", None): 2,
        ("default", "region"): 3,
        ("profile my", None): 5,
        ("profile my", "role_arn"): 6,
    }


def written(home: Path, config: str, credentials: str = "") -> dict[str, str]:
    folder = home / ".aws"
    folder.mkdir()
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)
    (folder / "credentials").chmod(0o600)
    return {"HOME": str(home)}


def test_findings_have_the_line_of_what_is_wrong(tmp_path: Path) -> None:
    environ = written(
        tmp_path,
        f'[profile "my own"]\nregion = eu-west-1\nrole_arn = {ARN}\nsource_profile = gone\n',
        "[both]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-secret\n"
        f"role_arn = {ARN}\nsource_profile = both\n[half]\naws_access_key_id = AKIAFAKE\n"
        "[profile odd]\naws_access_key_id = AKIAFAKE\n",
    )

    found = check(read_files(environ))

    assert [(one.rule, one.file, one.line) for one in found] == [
        ("not-a-profile", "~/.aws/credentials", 8),
        ("missing-source", "~/.aws/config", 4),
        ("half-keys", "~/.aws/credentials", 7),
        ("half-keys", "~/.aws/credentials", 9),
    ]


def test_sections_that_look_like_profiles_and_are_none_are_told(tmp_path: Path) -> None:
    environ = written(
        tmp_path,
        "[reader]\nregion = eu-west-1\n[profile my own]\nregion = eu-west-1\n[plugins]\nx = y\n"
        "[services local]\nsts =\n  endpoint_url = http://127.0.0.1\n[colours]\nred = 1\n",
        "[profile hub]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-secret\n",
    )

    found = check(read_files(environ))

    assert [(one.rule, one.file, one.line, one.hint) for one in found] == [
        ("not-a-profile", "~/.aws/config", 1, "write [profile reader]"),
        ("not-a-profile", "~/.aws/config", 3, 'write [profile "my own"]'),
        ("not-a-profile", "~/.aws/credentials", 1, "write [hub]"),
    ]


def test_an_sso_session_has_to_say_where_it_is(tmp_path: Path) -> None:
    environ = written(
        tmp_path, "[sso-session corp]\nsso_region = x\n[profile s]\nsso_session = corp\n"
    )

    (found,) = check(read_files(environ))

    assert (found.rule, found.line) == ("incomplete-sso-session", 4)
    assert "no sso_start_url" in found.message


def test_files_that_are_not_there_have_nothing_wrong(tmp_path: Path) -> None:
    assert check(read_files({"HOME": str(tmp_path)})) == []
