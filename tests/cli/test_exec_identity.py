"""A child of ``rolecall exec`` is the role, whatever else would give it credentials."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import botocore.configloader
import botocore.exceptions
import botocore.session
import pytest
from command_line import WHO, Desk, role_of
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.cli.formats import as_json, variables_of
from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint.app import Served
from rolecall.endpoint.environment import REMOVED, child_environment, unshadowed
from rolecall.endpoint.server import Endpoint
from rolecall.endpoint.shadows import (
    CONFIG,
    CREDENTIAL_KEYS,
    with_default_process,
    without_credentials,
)
from rolecall.endpoint.shadows import (
    CREDENTIALS as CREDENTIALS_FILE,
)
from rolecall.refresh import Refresher
from rolecall.testing import FakeSource

WAYS = ("endpoint", "env", "process")

#: Each variable that would give a child other credentials, or spoil those it has.
STALE = {
    **dict.fromkeys(REMOVED, "fake-stale"),
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_CREDENTIALS_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_SESSION_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_CREDENTIAL_FILE": "/no/such/file",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/Stale",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/file",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/fake-stale",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/fake-stale",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/no/such/file",
}

KEYS = "aws_access_key_id = AKIAFAKEDEFAULT\naws_secret_access_key = fake-default\n"
HUB = "[profile hub]\naws_access_key_id = AKIAFAKEHUB\naws_secret_access_key = fake-hub\n"

#: What a default profile may have: ``~/.aws/config``, then ``~/.aws/credentials``.
DEFAULTS = {
    "nothing": ("", ""),
    "keys": ("", f"[default]\n{KEYS}"),
    "keys in config": (f"[default]\n{KEYS}", ""),
    "keys of [profile default]": (f"[profile default]\n{KEYS}", ""),
    "keys of [profile 'default']": (f"[profile 'default']\n{KEYS}", ""),
    "temporary keys": ("", f"[default]\n{KEYS}aws_session_token = fake-token\n"),
    "keys in capitals": ("", f"[default]\n{KEYS.upper()}"),
    "keys behind a comment": ("", f"[default] # mine\n# all of it\n{KEYS}"),
    "keys without spaces": ("", f"[default]\n{KEYS.replace(' ', '')}"),
    "keys with colons": ("", f"[default]\n{KEYS.replace(' = ', ': ')}"),
    "keys of Windows": ("", f"[default]\n{KEYS}".replace("\n", "\r\n")),
    "keys behind spaces": ("", "[ default ]\n" + KEYS),
    "keys behind white space": ("", "[default]\n" + KEYS.replace("aws", "  aws")),
    "keys of every section": (f"[DEFAULT]\n{KEYS}\n[default]\nregion = us-east-2\n", ""),
    "keys on two lines": (
        "",
        "[default]\naws_access_key_id =\n  AKIAFAKEDEFAULT\naws_secret_access_key =\n  fake\n",
    ),
    "a process": ("[default]\ncredential_process = echo {}\n", ""),
    "a role": (f"{HUB}[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = hub\n", ""),
    "a role of the machine": (
        "[default]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Ec2InstanceMetadata\n",
        "",
    ),
    "a web identity": (
        "[default]\nrole_arn = arn:aws:iam::1:role/x\nweb_identity_token_file = /no/such/file\n",
        "",
    ),
    "a sign-in": (
        "[sso-session s]\nsso_region = us-east-2\nsso_start_url = https://localhost/start\n"
        "[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = x\n",
        "",
    ),
    "an old sign-in": (
        "[default]\nsso_start_url = https://localhost/start\nsso_region = us-east-2\n"
        "sso_account_id = 123456789012\nsso_role_name = x\n",
        "",
    ),
    "a console sign-in": ("[default]\nlogin_session = arn:aws:iam::123456789012:user/x\n", ""),
    "two sections": (f"[default]\nregion = us-east-2\n{HUB}[profile default]\n{KEYS}", ""),
}


@pytest.fixture(scope="module")
def role() -> Refresher:
    return Refresher(FakeSource(SYSTEM_CLOCK), name="reader")


@pytest.fixture(scope="module")
def endpoint(role: Refresher) -> Iterator[Endpoint]:
    with Endpoint([Served(name="reader", refresher=role)]) as running:
        yield running


def variables(way: str, role: Refresher, endpoint: Endpoint) -> Mapping[str, str]:
    if way == "env":
        return variables_of(role.get())
    return endpoint.variables("reader") if way == "endpoint" else {}


def process(way: str, role: Refresher, folder: Path) -> str | None:
    if way != "process":
        return None
    printed = folder / "printed"
    printed.write_text(as_json(role.get()))
    return f"cat {printed}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("default", DEFAULTS)
def test_no_default_profile_wins_over_the_role(
    way: str, default: str, role: Refresher, endpoint: Endpoint, own_home: Path, tmp_path: Path
) -> None:
    aws = own_home / ".aws"
    aws.mkdir()
    for name, text in zip(("config", "credentials"), DEFAULTS[default], strict=True):
        aws.joinpath(name).write_bytes(text.encode())
    parent = {"HOME": str(own_home), "PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true"}
    child = child_environment(
        {**parent, **STALE}, name="reader", variables=variables(way, role, endpoint)
    )
    child = unshadowed(child, tmp_path, process=process(way, role, tmp_path))

    os.environ.clear()
    os.environ.update(child)
    found = botocore.session.Session().get_credentials().get_frozen_credentials()

    assert found.access_key == role.get().access_key
    assert found.secret_key == role.get().secret_key
    assert found.token == role.get().token


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("named", [False, True])
def test_keys_of_boto_2_do_not_win_over_the_role(
    way: str, named: bool, role: Refresher, endpoint: Endpoint, own_home: Path, tmp_path: Path
) -> None:
    """botocore still reads ``~/.boto``, or what BOTO_CONFIG names, before it asks an endpoint."""
    file = own_home / ("boto.cfg" if named else ".boto")
    file.write_text(f"[Credentials]\n{KEYS}")
    parent = {"HOME": str(own_home), "PATH": "/usr/bin:/bin"}
    child = child_environment(
        {**parent, "BOTO_CONFIG": str(file)} if named else parent,
        name="reader",
        variables=variables(way, role, endpoint),
    )
    child = unshadowed(child, tmp_path, process=process(way, role, tmp_path))

    os.environ.clear()
    os.environ.update(child)
    found = botocore.session.Session().get_credentials().get_frozen_credentials()

    assert found.access_key == role.get().access_key


@pytest.mark.parametrize(
    "name",
    [
        # botocore and other SDKs call Bedrock with it, whatever credentials there are.
        "AWS_BEARER_TOKEN_BEDROCK",
        # Ruby's SDK.
        "AMAZON_ACCESS_KEY_ID",
        "AMAZON_SECRET_ACCESS_KEY",
        "AMAZON_SESSION_TOKEN",
    ],
)
def test_less_known_variables_do_not_reach_a_child(name: str) -> None:
    child = child_environment({name: "fake-stale"}, name="reader", variables={})

    assert child.get(name) != "fake-stale"


def test_no_stale_variable_reaches_a_child_nor_do_two() -> None:
    """Each pair, all the same: a child's environment is what it would be without them."""
    parent = {"HOME": "/srv/fake", "PATH": "/bin", "AWS_DEFAULT_OUTPUT": "json"}
    given = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x"}
    clean = child_environment(parent, name="reader", variables=given)
    singles = [(one,) for one in STALE]
    for names in [*singles, *combinations(STALE, 2), tuple(STALE)]:
        stale = {name: STALE[name] for name in names}

        child = child_environment({**parent, **stale}, name="reader", variables=given)

        assert child == clean, names


LINES = st.lists(
    st.sampled_from(
        [
            "[default]", "[ default ]", "[profile default]", "[profile 'default']",
            '[profile "default"]', "[default] # mine", "[default];", "[profile\tdefault]",
            "[profile hub]", "[Default]", "  [default]", "[default",
            "[sso-session default]", "[services default]",
            "aws_access_key_id = AKIAFAKE", "aws_access_key_id=AKIAFAKE",
            "AWS_Secret_Access_Key : fake", "  aws_session_token = fake", "\trole_arn = fake",
            "credential_process = echo {}", "source_profile=hub", " ", "", "# role_arn = x",
            "; role_arn = x", "region = us-east-2", "s3 =", "  addressing_style = path",
            "aws_access_key_id", "= x", "sso_session = x", "  # role_arn = x",
            "credential_process", "output = json # role_arn = x", "role_arn", "role_arn =",
        ]
    ),
    max_size=9,
)  # fmt: skip


def parsed(text: str, folder: Path) -> Mapping[str, Mapping[str, object]] | None:
    """Return the sections of *text* as botocore reads them. None: it refuses the file."""
    file = folder / "parsed"
    file.write_text(text)
    try:
        found: Mapping[str, Mapping[str, object]] = botocore.configloader.raw_config_parse(
            str(file)
        )
    except botocore.exceptions.ConfigParseError:
        return None
    return found


def is_default(section: str, *, config: bool) -> bool:
    words = section.replace('"', "").replace("'", "").split()
    return words == ["default"] or (config and words == ["profile", "default"])


def without_keys(values: Mapping[str, object]) -> Mapping[str, object]:
    """Return *values* of a section without credentials, be they on a line of another key's."""

    def cleaned(value: object) -> object:
        if isinstance(value, dict):
            return without_keys(value) or ""
        first, *more = str(value).split("\n")
        kept = [one for one in more if one.partition("=")[0].strip() not in CREDENTIAL_KEYS]
        return "\n".join([first, *kept])

    return {key: cleaned(value) for key, value in values.items() if key not in CREDENTIAL_KEYS}


@given(lines=LINES, end=st.sampled_from(["\n", "\r\n"]), config=st.booleans())
@example(lines=["[default]", "s3 =", "  aws_access_key_id = AKIAFAKE"], end="\n", config=True)
@example(lines=["[default]", "  aws_session_token = fake"], end="\n", config=False)
@example(lines=["[default]", "region =", "  aws_access_key_id = AKIAFAKE"], end="\n", config=True)
def test_what_botocore_reads_is_the_same_but_for_the_defaults_credentials(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, config: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = "".join(line + end for line in lines)
    before = parsed(text, folder)

    after = parsed(without_credentials(text, CONFIG if config else CREDENTIALS_FILE), folder)

    if before is None:
        return  # whoever starts a child with such a file gets botocore's own complaint
    assert after is not None
    # For botocore it may be a value's second line, for others the default profile begins there.
    doubtful = any(line.startswith(" ") and "[" in line for line in lines)

    def scrubbed(sections: Mapping[str, Mapping[str, object]]) -> object:
        return {
            section: without_keys(values)
            if doubtful or is_default(section, config=config)
            else values
            for section, values in sections.items()
        }

    assert scrubbed(before) == scrubbed(after)
    for section, values in after.items():
        if is_default(section, config=config):
            assert without_keys(values) == values


@pytest.mark.parametrize(
    "text",
    [
        "[default]\nregion = us-east-2\n  aws_access_key_id = AKIAFAKE\n",
        "[default]\ns3 =\n  aws_access_key_id = AKIAFAKE\n",
        "[default] # of [mine]\naws_access_key_id = AKIAFAKE\n",
        "[default]; [mine]\naws_access_key_id = AKIAFAKE\n",
        "[other]\nregion = us-east-2\n  [default]\n  aws_access_key_id = AKIAFAKE\n",
        "[other]\nregion = us-east-2\n\t[ default ]\naws_access_key_id = AKIAFAKE\n",
    ],
)
@pytest.mark.parametrize("variable", [CONFIG, CREDENTIALS_FILE])
def test_what_any_sdk_takes_for_the_defaults_credentials_is_gone(text: str, variable: str) -> None:
    """Some take an indented key for a key, or a section's name for its end."""
    clean = without_credentials(text, variable)

    assert clean == "".join(
        line for line in text.splitlines(keepends=True) if "AKIAFAKE" not in line
    )


def test_one_region_is_the_childs_in_both_its_spellings() -> None:
    """The one that most SDKs would take, which botocore does not know."""
    both = {"AWS_REGION": "us-east-2", "AWS_DEFAULT_REGION": "us-west-2"}
    for parent, region, expected in (
        (both, None, "us-east-2"),
        (both, "eu-west-1", "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, None, "us-west-2"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, None, "us-west-2"),
    ):
        child = child_environment(parent, name="reader", variables={}, region=region)

        assert (child["AWS_REGION"], child["AWS_DEFAULT_REGION"]) == (expected, expected)


@given(lines=LINES)
@example(lines=["[default]", "  aws_session_token = fake"])
@example(lines=["[default]", "  region = us-east-2"])
@example(lines=["[default]", "[profile default]"])
@example(lines=["[ default ]"])
@example(lines=['["default"]'])
@example(lines=["[profile 'default']"])
def test_a_default_process_is_the_one_that_botocore_reads(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    clean = without_credentials("".join(f"{line}\n" for line in lines), CONFIG)
    if parsed(clean, folder) is None:
        return

    (folder / "parsed").write_text(with_default_process(clean, "echo fake"))
    found = botocore.configloader.load_config(str(folder / "parsed"))

    assert found["profiles"]["default"]["credential_process"] == "echo fake"


#: Who the child is, and what it was given to be that.
CHILD = f"""
import json, os, sys
{WHO}
print(json.dumps(dict(os.environ)))
"""


@pytest.mark.parametrize("way", WAYS)
def test_a_child_is_the_role(desk: Desk, way: str) -> None:
    """A real one, with everything at once that would make it another."""
    desk.profile("default", region="eu-west-1", credential_process="/bin/false", sso_session="s")
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-default"))
    own = desk.environ
    stale = {name: STALE[name] for name in STALE if name not in ("AWS_PROFILE",)}
    desk.environ = {**stale, **own, "AWS_PROFILE": "hub", "NO_PROXY": "a.example"}

    ended = desk.run("exec", "reader", "--via", way, program=desk.python(CHILD))

    assert (ended.code, ended.err) == (0, "")
    arn, environ = ended.out.splitlines()
    assert role_of(arn) == "Reader"
    child = json.loads(environ)
    given = {
        "endpoint": {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        },
        "env": {
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_CREDENTIAL_EXPIRATION",
        },
        "process": set[str](),
    }
    files = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
    region = {"AWS_REGION": "us-east-2", "AWS_DEFAULT_REGION": "us-east-2"}
    no_proxy = dict.fromkeys(("NO_PROXY", "no_proxy"), "a.example,127.0.0.1")
    # Nothing else is new, gone or changed: no word of how it is done.
    assert {name: child[name] for name in child if name not in given[way] | files} == {
        **{name: own[name] for name in own if name not in STALE},
        **region,
        **no_proxy,
        "ROLECALL": "reader",
        "AWS_SDK_LOAD_CONFIG": "1",
    }
    assert given[way] | files <= set(child)
