from __future__ import annotations

import io
import os
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.endpoint.environment import REMOVED, child_environment, unshadowed
from rolecall.endpoint.shadows import (
    BOTO,
    CONFIG,
    CREDENTIAL_KEYS,
    CREDENTIALS,
    PROCESS,
    shadowing,
    with_default_process,
    without_credentials,
)
from rolecall.errors import ConfigError

KEYS = "aws_access_key_id = AKIAFAKEDEFAULT\naws_secret_access_key = fake-default-secret\n"


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Return what botocore's parser reads."""
    parser = RawConfigParser()
    parser.read_file(io.StringIO(text, newline=None))
    return {name: dict(parser.items(name)) for name in parser.sections()}


def clean(text: str, variable: str = CONFIG) -> str:
    return without_credentials(text, variable)


@pytest.mark.parametrize(
    "text",
    [
        f"[default]\n{KEYS}",
        f"[default]\nregion = eu-west-1\n{KEYS}output = json\n",
        f"[profile default]\n{KEYS}",
        f'[profile "default"]\n{KEYS}',
        f"[profile 'default']\n{KEYS}",
        f"[profile\tdefault]\n{KEYS}",
        f"# a comment\n\n[default] # another\n{KEYS}",
        "[default]\nAWS_ACCESS_KEY_ID=a\nAws_Secret_Access_Key : b\n",
        "[default]\n  aws_access_key_id = a\n  aws_secret_access_key = b\n",
        "[default]\n\taws_access_key_id = a\n\taws_secret_access_key = b\n",
        "[default]\n\n  credential_process = /bin/false\n",
        "[default]\n  region = a\n  credential_process = /bin/false\n",
        f"[default]\r\n{KEYS}".replace("\n", "\r\n"),
        f"[default]\n{KEYS}".replace("\n", "\r"),
        f"[DEFAULT]\n{KEYS}[default]\nregion = eu-west-1\n",
        f"[DEFAULT]\n{KEYS}[profile default]\n",
        f"[default]\nregion = a\n  [other]\n{KEYS}",
        f"[default]\noutput = a\u2028[other]\n{KEYS}",
        f"[default]\noutput = a\x0c[other]\n{KEYS}",
        f"[default]\noutput = a\x85[other]\n{KEYS}",
        "[default]\naws_access_key_id\u00a0= a\n",
        "[default]\ncredential_process =\n  /bin/false --with\n\n  more\nregion = x\n",
    ],
)
def test_what_botocore_would_read_of_a_default_profile_has_no_credentials(text: str) -> None:
    before = parsed(text)
    values = {**before.get("default", {}), **before.get("profile default", {})}
    shadow = any(CREDENTIAL_KEYS & set(keys) for keys in before.values())
    assert shadow, f"the test is wrong: {values}"

    after = parsed(clean(text))

    for name in after:
        if "default" in name:
            assert not CREDENTIAL_KEYS & set(after[name])


#: What botocore cannot read, but others can.
@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff[default]\n{KEYS}",
        f"[ default ]\n{KEYS}",
        # To botocore a section called "default] # see [1".
        f"[default] # see [1]\n{KEYS}",
        f"[default] ; see below\n{KEYS}",
        f"[profile default] # see [1]\n{KEYS}",
        # To botocore these go on with the value above.
        f"[default]\nregion = x\n  {KEYS}".replace("\naws", "\n  aws"),
        f"[default]\ns3 =\n\t{KEYS}".replace("\naws", "\n\taws"),
        f"[profile x]\nregion = x\n  [default]\n  {KEYS}".replace("\naws", "\n  aws"),
        f"[profile x]\nregion = x\n  [default]\n{KEYS}",
        f"[profile x]\ns3 =\n\t[default]\n\tregion = y\n\t{KEYS}".replace("\naws", "\n\taws"),
    ],
)
def test_nor_has_what_other_sdks_would_read(text: str) -> None:
    assert "fake-default-secret" not in clean(text)


def test_all_other_lines_stay_byte_for_byte() -> None:
    text = (
        "# kept\r\n[default]\r\nregion = eu-west-1\r\n" + KEYS + "s3 =\r\n  max_queue_size = 5\r\n"
        "  # kept too\r\n\r\n[profile x]\nrole_arn = y\nsource_profile=default\n" + KEYS
        + "[sso-session default]\nsso_region = z\n[services default]\ns3 =\n  endpoint_url = q\n"
        "[profile ünïcödé]\ncredential_process = c"
    )  # fmt: skip

    assert text.replace(KEYS, "", 1) == clean(text)


@pytest.mark.parametrize("text", ["", "\n", "[default]", "[default]\nregion=a", "; only this"])
def test_what_has_nothing_to_take_out_is_left_alone(text: str) -> None:
    assert text == clean(text)


def test_profile_default_is_no_default_in_the_credentials_file() -> None:
    text = f"[profile default]\n{KEYS}"

    assert text == clean(text, CREDENTIALS)
    assert clean(f"[default]\n{KEYS}", CREDENTIALS) == "[default]\n"


def test_of_a_file_of_the_first_boto_only_the_credentials_go() -> None:
    text = f"[Boto]\n{KEYS}debug = 0\n[Credentials]\nhost = x\n{KEYS}[default]\n{KEYS}"

    assert f"[Boto]\n{KEYS}debug = 0\n[Credentials]\nhost = x\n[default]\n{KEYS}" == clean(
        text, BOTO
    )
    assert clean(f"[DEFAULT]\n{KEYS}", BOTO) == "[DEFAULT]\n"


def without_nested_credentials(value: str) -> str:
    """Return a key's *value* without the lines below it that other SDKs take for credentials."""
    first, *nested = value.split("\n")
    keys = [line.partition("=")[0].partition(":")[0].strip().lower() for line in nested]
    kept = [line for line, key in zip(nested, keys, strict=True) if key not in CREDENTIAL_KEYS]
    return "\n".join([first, *kept]).rstrip()


NAMES = st.sampled_from(
    ["default", "profile default", "profile x", "x", "sso-session s", 'profile "a b"', "plugins"]
)
LINES = st.sampled_from(
    [
        "region = eu-west-1", "output=json", "s3 =\n  max_queue_size = 1\n  use = path",
        "# comment", "; comment", "", "  ", "cli_pager =", "ünï = cödé", "x = a\n  b\n\n  c",
        "y = a # not a comment", "AWS_ACCESS_KEY_ID = AKIAFAKE", "aws_secret_access_key: fake",
        "aws_session_token=fake", "role_arn = arn:aws:iam::123456789012:role/X",
        "source_profile = x", "credential_process = a \\\n  b", "credential_source=Environment",
        "duration_seconds = 900", "sso_session = s", "web_identity_token_file = /f", "mfa_serial=m",
        "s4 =\n  aws_access_key_id = a\n  use = path\n  role_arn: b", "z = a\n\tmfa_serial = b",
    ]
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> str:
    text = "".join(f"{line}\n" for line in draw(st.lists(st.sampled_from(["# top", ""]))))
    for name in draw(st.lists(NAMES, unique=True)):
        text += f"[{name}]\n"
        seen = set()
        for line in draw(st.lists(LINES)):
            key = line.partition("=")[0].partition(":")[0].strip().lower()
            if key and key in seen:
                continue
            seen.add(key)
            text += f"{line}\n"
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return text


@given(files())
@example("[default]\n")
def test_a_clean_file_says_the_same_of_everything_else(text: str) -> None:
    before, after = parsed(text), parsed(clean(text))

    for name, values in before.items():
        of_default = name in ("default", "profile default")
        kept = {
            key: without_nested_credentials(value) if of_default else value
            for key, value in values.items()
            if not (of_default and key in CREDENTIAL_KEYS)
        }
        assert kept == after[name]
    assert set(before) == set(after)


@given(files())
def test_the_lines_of_a_clean_file_are_those_that_were_there(text: str) -> None:
    left = iter(text.splitlines(keepends=True))

    assert all(line in left for line in clean(text).splitlines(keepends=True))


@given(files())
def test_a_process_is_put_into_the_default_profile_alone(text: str) -> None:
    command = "fake-rolecall credential-process x"
    before = parsed(clean(text))
    after = parsed(with_default_process(clean(text), command))

    # SDKs differ in which of the two they take where there are both: so in each that is there.
    theirs = {name for name, values in after.items() if values.get(PROCESS) == command}
    assert theirs == ({"default", "profile default"} & set(before) or {"default"})
    for name in theirs:
        del after[name][PROCESS]
    assert {**{name: {} for name in theirs}, **before} == after


# ── files of a child ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "private"
    found.mkdir()
    return found


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_copy_is_for_its_owner_alone(folder: Path, tmp_path: Path, open_umask: None) -> None:
    (tmp_path / "config").write_text(f"[default]\n{KEYS}")
    child = unshadowed({"AWS_CONFIG_FILE": str(tmp_path / "config"), "HOME": "/nowhere"}, folder)

    copy = Path(child["AWS_CONFIG_FILE"])
    assert folder == copy.parent
    assert copy.stat().st_mode & 0o7777 == 0o600
    assert copy.read_text() == "[default]\n"
    assert f"[default]\n{KEYS}" == (tmp_path / "config").read_text()


def test_bytes_that_are_no_text_are_kept(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_bytes(b"[default]\nx = \xff\xfe\naws_session_token = a\n[profile \xe9]\ny=\xc3\n")

    child = unshadowed({"AWS_CONFIG_FILE": str(file), "HOME": "/nowhere"}, folder)

    copied = Path(child["AWS_CONFIG_FILE"]).read_bytes()
    assert copied == b"[default]\nx = \xff\xfe\n[profile \xe9]\ny=\xc3\n"


def test_a_file_in_a_directory_named_by_a_variable_is_found_as_botocore_does(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """Environment files of containers and services are not expanded by a shell."""
    (tmp_path / "config").write_text(f"[default]\n{KEYS}")
    environ = {
        "AWS_CONFIG_FILE": "$FAKE_PLACE/config",
        "FAKE_PLACE": str(tmp_path),
        "HOME": "/nowhere",
    }
    monkeypatch.setenv("FAKE_PLACE", str(tmp_path))

    child = unshadowed(environ, folder)

    assert str(folder / "config") == child["AWS_CONFIG_FILE"]


@pytest.mark.parametrize("kind", ["missing", "below a file", "a directory", "the null device"])
def test_a_file_that_botocore_takes_for_none_is_none(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "file").touch()
    path = {
        "missing": tmp_path / "none",
        "below a file": tmp_path / "file" / "config",
        "a directory": tmp_path,
        "the null device": Path(os.devnull),
    }[kind]
    environ = {"AWS_CONFIG_FILE": str(path), "AWS_SHARED_CREDENTIALS_FILE": str(path)}

    assert environ == unshadowed(environ, folder)


@pytest.mark.parametrize("variable", [CONFIG, CREDENTIALS, BOTO])
@pytest.mark.parametrize("kind", ["a FIFO", "a pipe", "a device"])
def test_what_can_be_read_only_once_is_refused_at_once(
    folder: Path, tmp_path: Path, variable: str, kind: str
) -> None:
    """As a shell's <(…): a copy would take it from the child, and some SDKs would read it."""
    os.mkfifo(tmp_path / "fifo")
    reads, writes = os.pipe()
    path = {
        "a FIFO": str(tmp_path / "fifo"),
        "a pipe": f"/dev/fd/{reads}",
        "a device": "/dev/zero",
    }[kind]
    try:
        with pytest.raises(ConfigError, match="no plain file") as caught:
            unshadowed({variable: path, "HOME": "/nowhere"}, folder)
    finally:
        os.close(reads)
        os.close(writes)

    assert path in str(caught.value)
    assert variable in str(caught.value.hint)


def test_shadows_are_told_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("\n[default]\nregion = x\ncredential_process = y\n")
    path = str(tmp_path / "config")

    found = shadowing({"AWS_CONFIG_FILE": path, "HOME": "/nowhere"})

    assert [f"{path} line 4: credential_process"] == found


def test_of_botos_usual_files_the_first_that_is_there_is_taken(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / ".boto").write_text(f"[Credentials]\n{KEYS}debug = 0\n")
    (tmp_path / "named").write_text("[Boto]\ndebug = 1\n")
    environ = {"HOME": str(tmp_path)}

    child = unshadowed(environ, folder)
    named = {**environ, "BOTO_CONFIG": str(tmp_path / "named")}

    assert {**environ, "BOTO_CONFIG": str(folder / "boto")} == child
    assert (folder / "boto").read_text() == "[Credentials]\ndebug = 0\n"
    assert (tmp_path / ".boto").read_text() == f"[Credentials]\n{KEYS}debug = 0\n"
    # The one that is named wins over the usual ones, which botocore does not read then.
    assert named == unshadowed(named, folder)
    assert shadowing(environ) == [
        "~/.boto line 2: aws_access_key_id",
        "~/.boto line 3: aws_secret_access_key",
    ]


@pytest.mark.parametrize("variable", [CONFIG, CREDENTIALS])
def test_a_copy_with_a_default_of_its_own_makes_the_old_one_no_more_than_a_file(
    folder: Path, tmp_path: Path, variable: str
) -> None:
    (tmp_path / ".aws").mkdir()
    file = tmp_path / ".aws" / {CONFIG: "config", CREDENTIALS: "credentials"}[variable]
    file.write_text(f"[default]\n{KEYS}")

    child = unshadowed({"HOME": str(tmp_path)}, folder)

    assert {"HOME": str(tmp_path), variable: str(folder / file.name)} == child
    assert shadowing(child) == []


def test_a_file_that_cannot_be_read_is_told_without_what_is_in_it(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        unshadowed({"AWS_CONFIG_FILE": "/proc/self/mem", "HOME": "/nowhere"}, folder)

    assert "/proc/self/mem" in str(caught.value)


# ── the environment ──────────────────────────────────────────────────────────────────────

VARIABLES = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x"}


def child(**environ: str) -> dict[str, str]:
    return child_environment(environ, name="fake-role", variables=VARIABLES)


def test_what_would_give_other_credentials_is_not_in_the_environment() -> None:
    found = child(**dict.fromkeys(REMOVED, "stale"), PATH="/bin", AWS_CA_BUNDLE="kept")

    assert found == {
        **VARIABLES,
        "PATH": "/bin",
        "AWS_CA_BUNDLE": "kept",
        # Or Go's older SDK does not read the configuration file.
        "AWS_SDK_LOAD_CONFIG": "1",
        "ROLECALL": "fake-role",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@pytest.mark.parametrize(
    "variable",
    [
        "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_BEARER_TOKEN_FAKE",
        # Ruby's SDK takes them for AWS's.
        "AMAZON_ACCESS_KEY_ID", "AMAZON_SECRET_ACCESS_KEY", "AMAZON_SESSION_TOKEN",
        # Every SDK would use it for Bedrock instead of the role.
        "AWS_BEARER_TOKEN_BEDROCK",
    ],
)  # fmt: skip
def test_nor_what_only_some_sdks_know(variable: str) -> None:
    assert variable not in child(**{variable: "stale"})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "a.example"}, "a.example,127.0.0.1"),
        ({"no_proxy": "a.example, b.example"}, "a.example,b.example,127.0.0.1"),
        ({"NO_PROXY": "a,127.0.0.1,b"}, "a,127.0.0.1,b"),
        ({"NO_PROXY": "a", "no_proxy": "b,a"}, "a,b,127.0.0.1"),
        ({"NO_PROXY": ",,"}, "127.0.0.1"),
        # An asterisk means every host only where it is alone. [curl, urllib]
        ({"NO_PROXY": "*"}, "*"),
        ({"no_proxy": " * "}, "*"),
    ],
)
def test_no_proxy_is_between_a_child_and_the_endpoint(
    environ: dict[str, str], expected: str
) -> None:
    found = child(**environ)

    assert {expected} == {found["NO_PROXY"], found["no_proxy"]}


@pytest.mark.parametrize(
    ("environ", "region", "expected"),
    [
        ({}, None, None),
        ({}, "eu-west-1", "eu-west-1"),
        ({"AWS_REGION": "eu-west-2"}, "eu-west-1", "eu-west-1"),
        ({"AWS_REGION": "eu-west-2"}, None, "eu-west-2"),
        ({"AWS_DEFAULT_REGION": "eu-west-3"}, None, "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "eu-west-3", "AWS_REGION": "eu-west-2"}, None, "eu-west-2"),
        ({"AWS_DEFAULT_REGION": "eu-west-3", "AWS_REGION": ""}, None, "eu-west-3"),
    ],
)
def test_both_names_of_the_region_say_the_same(
    environ: dict[str, str], region: str | None, expected: str | None
) -> None:
    found = child_environment(environ, name="x", variables={}, region=region)

    assert (expected, expected) == (found.get("AWS_REGION"), found.get("AWS_DEFAULT_REGION"))
