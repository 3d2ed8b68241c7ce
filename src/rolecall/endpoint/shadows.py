"""What a default profile has that would win over the credentials a child is given.

The files are changed as text, line by line, so that all else in them stays as it is written. Where
a line belongs is decided as Python's `configparser` does, which botocore reads them with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ..chain.config_file import CONFIG_FILE, CREDENTIALS_FILE, expanded_path
from ..errors import ConfigError

CONFIG = "AWS_CONFIG_FILE"
CREDENTIALS = "AWS_SHARED_CREDENTIALS_FILE"
#: boto 2's file, whose keys botocore still takes before an endpoint's.
BOTO = "BOTO_CONFIG"
_USUAL = {
    CONFIG: (CONFIG_FILE,),
    CREDENTIALS: (CREDENTIALS_FILE,),
    BOTO: ("~/.boto", "/etc/boto.cfg"),
}

PROCESS = "credential_process"

#: Keys of a profile that lead to credentials, or say how.
CREDENTIAL_KEYS = frozenset(
    {
        "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token",
        "aws_account_id", "aws_credential_expiration", "aws_expiration", "aws_session_expiration",
        "credential_process", "credential_source", "source_profile", "role_arn",
        "role_session_name", "external_id", "mfa_serial", "duration_seconds",
        "web_identity_token_file", "sso_session", "sso_account_id", "sso_role_name", "sso_region",
        "sso_start_url", "sso_registration_scopes", "login_session", "source_identity",
    }
)  # fmt: skip

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SECTION = re.compile(r"\[(?P<name>.+)\]")
_ANY_SECTION = re.compile(r"\[\s*(?P<name>[^\]]*?)\s*\]")
_KEY = re.compile(r"(?P<key>.*?)\s*[=:]")
# SDKs differ in how much white space they bear, and in whether [profile default] is [default].
_BOTOCORES_DEFAULT = re.compile(r"default|profile\s+(?P<quote>[\"']?)default(?P=quote)")
_DEFAULT = re.compile(r"(?:profile\s+)?(?P<quote>[\"']?)default(?P=quote)")


def path_of(variable: str, environ: Mapping[str, str]) -> str:
    """Return the file that is read for *variable*: the one it names, or the first usual one."""
    named = environ.get(variable)
    if named:
        return named
    usual = _USUAL[variable]
    there = (path for path in usual if os.path.isfile(expanded_path(path, environ)))
    return next(there, usual[0])


def texts(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the files hold, by the variable that names each; "" if one is not there.

    Raises:
        ConfigError: a file cannot be read.
    """
    found = {}
    for variable in _USUAL:
        path = path_of(variable, environ)
        full = expanded_path(path, environ)
        found[variable] = ""
        if not os.path.isfile(full):
            if os.path.exists(full) and not os.path.isdir(full) and full != os.devnull:
                # Some SDKs would read it, and others not; and it can be read only once.
                raise ConfigError(
                    f"{path}: is no plain file, so that nobody can say what a child reads in it",
                    hint=f"let {variable} name a file",
                )
            continue
        try:
            with open(full, encoding="utf-8", errors="surrogateescape", newline="") as file:
                found[variable] = file.read()
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read: {error.strerror or type(error).__name__}",
                hint=f"check its permissions, or let {variable} name another file",
            ) from error
    return found


def without_credentials(text: str, variable: str) -> str:
    """Return *text* of the file for *variable* without what a child would take credentials from."""
    return "".join(line for line, key in lines(text, variable) if key not in CREDENTIAL_KEYS)


def with_default_process(text: str, command: str) -> str:
    """Return *text* of ``~/.aws/config`` with *command* as the default profile's process.

    At the end of each section that somebody takes for the default profile's.
    """
    line = f"{PROCESS} = {command}\n"
    kept: list[str] = []
    inside = there = False
    for one in _parsed(text, CONFIG):
        if one.section is not None:
            if inside:
                # As deep as what follows, or it would go on with this, or this with what is above.
                kept.append(one.indent + line)
            inside = bool(_DEFAULT.fullmatch(one.section.strip()))
            there = there or bool(_BOTOCORES_DEFAULT.fullmatch(one.section))
        kept.append(one.text if one.text.endswith(("\n", "\r")) else f"{one.text}\n")
    if inside:
        kept.append(line)
    return "".join(kept) + ("" if there else f"[default]\n{line}")


def shadowing(environ: Mapping[str, str]) -> list[str]:
    """Return what would win over a child's credentials: ``FILE line N: KEY`` each."""
    found = []
    for variable, text in texts(environ).items():
        path = path_of(variable, environ)
        for number, (_, key) in enumerate(lines(text, variable), 1):
            if key in CREDENTIAL_KEYS:
                found.append(f"{path} line {number}: {key}")
    return found


def _is_default(name: str) -> bool:
    # What is under [DEFAULT] goes for each profile: configparser's own.
    return name == "DEFAULT" or name.strip() == "default"


def _is_default_of_config(name: str) -> bool:
    return _is_default(name) or bool(_DEFAULT.fullmatch(name.strip()))


def _is_boto(name: str) -> bool:
    return name in ("DEFAULT", "Credentials")


_SECTIONS: Mapping[str, Callable[[str], bool]] = {
    CONFIG: _is_default_of_config,
    CREDENTIALS: _is_default,
    BOTO: _is_boto,
}


def lines(text: str, variable: str) -> Iterator[tuple[str, str]]:
    """Yield each line of the file for *variable*, and which key of the section in question it is.

    "": none of that section.
    """
    inside = False
    for one in _parsed(text, variable):
        # SDKs read the same file differently: for the JavaScript SDK an indented key is a key, and
        # what stands behind a section's name does not count. What any of them would take counts.
        bare = one.text.strip("\ufeff \t\r\n\f\v")
        section = _ANY_SECTION.match(bare)
        if section:
            inside = _SECTIONS[variable](section["name"])
        match = _KEY.match(bare)
        key = match["key"].strip().lower() if match and inside else ""
        yield one.text, key if key in CREDENTIAL_KEYS else one.key


class _Line(NamedTuple):
    """A line of a file.

    Attributes:
        key: Of the section in question; "": it is no line of that.
        section: The name, if one begins here.
        indent: The white space before it.
    """

    text: str
    key: str = ""
    section: str | None = None
    indent: str = ""


def _parsed(text: str, variable: str) -> Iterator[_Line]:
    wanted = _SECTIONS[variable]
    inside = False
    key, depth = "", 0
    for line in _LINE.findall(text):
        bare = line.strip("\ufeff \t\r\n\f\v")
        if not bare or bare[0] in "#;":
            yield _Line(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        if key and len(indent) > depth:  # it goes on with the value of the key above
            yield _Line(line, key if inside else "")
            continue
        depth = len(indent)
        section = _SECTION.match(bare)
        if section:
            inside, key = wanted(section["name"]), ""
            yield _Line(line, "", section["name"], indent)
            continue
        match = _KEY.match(bare)
        # Outside of it, too: what is indented more goes on with it.
        key = (match["key"] if match else bare).strip().lower()
        yield _Line(line, key if inside else "")
