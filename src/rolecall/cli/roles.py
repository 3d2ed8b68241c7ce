"""``rolecall roles``: the profiles that are roles, and what is wrong with the configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .parameters import json_option, verbose_option

if TYPE_CHECKING:
    from ..chain import RoleChain
    from .config_files import Files
    from .config_sections import Finding
    from .printed import Node

#: What `--check` has found something with.
FOUND = 2


@click.command("roles")
@click.option(
    "--check", is_flag=True, help="Tell what is wrong with the profiles; exit 2 on errors."
)
@click.option("--strict", is_flag=True, help="With --check: exit 2 on warnings, too.")
@json_option
@verbose_option
def command(check: bool, strict: bool, as_json: bool) -> int:
    """List the profiles that are roles; check them.

    What is listed is read from files: nothing is called, run or asked for. The time is what is
    left in the cache that all programs share.

    \b
      rolecall roles
      rolecall roles --check
    """
    from .config_files import read_files

    environ = os.environ  # noqa: TID251 - border
    files = read_files(environ)
    if check:
        return _check(files, strict, as_json)
    return _list(files, environ, as_json)


def _check(files: Files, strict: bool, as_json: bool) -> int:
    from .config_check import check
    from .endings import say
    from .printed import plain, print_json

    found = check(files)
    if as_json:
        print_json({"findings": [one.to_json() for one in found]})
        return _code(found, strict)
    for one in found:
        where = one.file if one.line is None else f"{one.file}:{one.line}"
        who = f"profile {one.profile}: " if one.profile else ""
        click.echo(f"{where}: {one.severity}: {plain(who + one.message)} [{one.rule}]")
        if one.hint:
            click.echo(f"  hint: {plain(one.hint)}")
    count = len(files.profiles)
    profiles = f"{count} profile{'' if count == 1 else 's'}"
    warnings = sum(one.severity != "error" for one in found)
    counts = f"{len(found) - warnings} errors, {warnings} warnings"
    say(f"{profiles}, {counts}" if found else f"{profiles}, nothing wrong")
    return _code(found, strict)


def _code(found: Sequence[Finding], strict: bool) -> int:
    return FOUND if any(strict or one.severity == "error" for one in found) else 0


def _list(files: Files, environ: Mapping[str, str], as_json: bool) -> int:
    from .endings import say
    from .printed import print_json, print_trees

    rows = rows_of(files, environ)
    if as_json:
        print_json({"roles": rows})
        return 0
    if not rows:
        say(f"no profile of {files.config.name} is a role: none has role_arn or SSO")
        return 0
    print_trees(trees_of(rows))
    if any(row["problem"] for row in rows):
        say("some do not add up: see rolecall roles --check")
    return 0


def rows_of(files: Files, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what is told of each profile that is a role, in the order of the files; no secret."""
    from .config_files import kind_of

    names = [name for name, values in files.profiles.items() if kind_of(values)]
    rows = {name: _row(name, files, environ) for name in names}
    _add_times(rows, files, environ)
    return list(rows.values())


def _add_times(
    rows: Mapping[str, dict[str, Any]], files: Files, environ: Mapping[str, str]
) -> None:
    """Add to *rows* how long the sessions still live that are stored."""
    if not _is_in_files(environ):
        return
    from ..stores import open_store
    from .cached import accounts_in, files_of
    from .printed import iso, local_end, seconds_left
    from .stored_roles import stored_roles

    store = files_of(open_store(environ=environ), environ)
    accounts = set() if store is None else accounts_in(store)
    sound = [name for name, row in rows.items() if row["problem"] is None]
    for one in stored_roles(sound, files.profiles, environ, accounts=accounts):
        credentials = one.get() if one.own else None
        if credentials is not None:
            rows[one.profile]["expires_at"] = iso(local_end(credentials))
            rows[one.profile]["seconds_left"] = seconds_left(credentials)


def _is_in_files(environ: Mapping[str, str]) -> bool:
    """Return whether the store is of files, which are read without a call or a question."""
    from ..stores.choice import STORE

    text = environ.get(STORE, "").strip().lower()
    return text in ("", "file", "aws-cli") or text.startswith("file:")


def _row(name: str, files: Files, environ: Mapping[str, str]) -> dict[str, Any]:
    from ..chain import WebIdentity, chain_of_profile
    from ..errors import ConfigError
    from .config_check import source_path
    from .config_files import account_of, kind_of

    values = files.profiles[name]
    kind = kind_of(values)
    chain: RoleChain | None = None
    problem = None
    try:
        chain = chain_of_profile(name, files.profiles, environ)
        wrong = chain.problems()
        problem = "; ".join(map(str, wrong)) or None
    except ConfigError as error:
        problem = error.message
    arns = [str(role.arn) for role in chain.roles] if chain else []
    if chain and isinstance(chain.origin, WebIdentity):
        arns.insert(0, str(chain.origin.role_arn))
    role = str(values.get("role_arn", "")) or None
    if kind == "sso":
        role = None
    return {
        "profile": name,
        "kind": kind,
        "role_arn": role,
        "sso_role": str(values["sso_role_name"]) if kind == "sso" else None,
        "account": account_of(values) or (str(values["sso_account_id"]) if kind == "sso" else None),
        "region": _text(values.get("region")),
        "source_profiles": source_path(name, files.profiles)[1:],
        "credential_source": _text(values.get("credential_source")),
        "roles": arns,
        "mfa_serial": _text(values.get("mfa_serial")),
        "expires_at": None,
        "seconds_left": None,
        "problem": problem,
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def trees_of(rows: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Return *rows* as trees: each role hangs on what assumes it."""
    from .printed import Node

    nodes = {row["profile"]: Node(_cells(row)) for row in rows}
    roots: dict[str, Node] = {}
    for row in rows:
        node = nodes[row["profile"]]
        source = next(iter(row["source_profiles"]), None)
        looping = source is not None and row["profile"] in _above(source, rows)
        if looping or (source is None and row["credential_source"] is None):
            roots[f"profile {row['profile']}"] = node
        elif source in nodes:
            nodes[source].children.append(node)
        else:
            start = f"profile {source}" if source else f"({row['credential_source']})"
            roots.setdefault(start, Node([source or start])).children.append(node)
    return list(roots.values())


def _above(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return *name* and what it hangs on, up to the root or back to itself."""
    sources = {row["profile"]: next(iter(row["source_profiles"]), None) for row in rows}
    found: list[str] = []
    at: str | None = name
    while at is not None and at not in found:
        found.append(at)
        at = sources.get(at)
    return found


def _cells(row: Mapping[str, Any]) -> list[str]:
    from .printed import left_shown

    role = row["role_arn"] or f"{row['sso_role']} in {row['account']} by SSO"
    cells = [row["profile"], role]
    if row["kind"] == "web-identity":
        cells.append("by a web identity")
    if row["mfa_serial"]:
        cells.append("with MFA")
    if row["seconds_left"] is not None:
        left = left_shown(row["seconds_left"])
        cells.append(left if row["seconds_left"] <= 0 else f"{left} left")
    if row["problem"]:
        cells.append("does not add up")
    return cells
