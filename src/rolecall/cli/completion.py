"""``rolecall completion``: what makes a shell complete commands, options and roles."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

#: Of names that all three shells take as one word, as they are.
_SIGNS = frozenset("@%+=:,./-_")

#: Where click looks for what a shell asks it, by our name.
VARIABLE = "_ROLECALL_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes a shell complete commands and roles.

    \b
      eval "$(rolecall completion bash)"          # in ~/.bashrc
      eval "$(rolecall completion zsh)"           # in ~/.zshrc, after compinit
      rolecall completion fish > ~/.config/fish/completions/rolecall.fish
    """
    from .commands import rolecall

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    # Not `source`, which for bash starts one to see its version.
    made = kind(rolecall, {}, "rolecall", VARIABLE)
    click.echo(made.source_template % made.source_vars())


def roles_starting(incomplete: str) -> list[CompletionItem[Any]]:
    """Return the profiles that begin with *incomplete*: those that are roles before others.

    A person waits at a prompt: files are read and nothing else, and whatever is wrong with them
    is not said here.
    """
    from ..chain.config_file import read_profiles
    from ..errors import RolecallError

    try:
        profiles = read_profiles(os.environ)  # noqa: TID251 - border
    except (RolecallError, OSError, ValueError):
        return []
    roles: list[CompletionItem[Any]] = []
    others: list[CompletionItem[Any]] = []
    for name, values in profiles.items():
        if name.startswith(incomplete) and _is_a_word(name):
            said = _what(values)
            (roles if said[0] else others).append(CompletionItem(name, help=said[1]))
    return roles + others


def _is_a_word(name: str) -> bool:
    return all(sign.isalnum() or sign in _SIGNS for sign in name) and bool(name)


def _what(values: object) -> tuple[bool, str]:
    """Return whether a profile with *values* is a role, and what it is in a few words."""
    from .config_files import kind_of

    if not isinstance(values, dict):
        return False, ""
    kind = kind_of(values)
    if kind == "sso":
        return True, _line(f"{values['sso_role_name']} in {values['sso_account_id']} by SSO")
    if kind is not None:
        return True, _line(str(values["role_arn"]))
    for key, what in (
        ("credential_process", "a credential_process"),
        ("aws_access_key_id", "keys"),
        ("sso_session", "SSO"),
        ("sso_start_url", "SSO"),
    ):
        if key in values:
            return False, what
    return False, "a profile"


def _line(text: str) -> str:
    """Return *text* as one line without what shells part columns by."""
    return " ".join(text.split())
