"""What click's commands have in common: the options that name a role, ``--json`` and ``-v``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from .options import OPTIONS, Asked

#: How a child gets its credentials, all of which ``exec --via`` names.
WAYS = ("endpoint", "env", "process")

F = TypeVar("F", bound=Callable[..., Any])


def role_options(*, via: str | None = None) -> Callable[[F], F]:
    """Return a decorator that adds the options that say how a role is assumed.

    Args:
        via: What ``--via`` does, where it does more than elsewhere.
    """

    def decorate(function: F) -> F:
        for option in reversed(OPTIONS):
            function = click.option(
                option.flag,
                option.field,
                metavar=option.metavar if via is None or option.field != "via" else "ARN|WAY",
                help=via if via is not None and option.field == "via" else option.help,
                multiple=option.many,
                shell_complete=_COMPLETED.get(option.field)
                if via is None
                else _WAYS.get(option.field),
            )(function)
        return function

    return decorate


def asked(role: str | None, values: dict[str, Any]) -> Asked:
    """Take the values of `role_options` out of *values*, and return them with *role*."""
    return Asked(role=role, **{option.field: values.pop(option.field) for option in OPTIONS})


def complete_role(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Complete the name of a profile."""
    from .completion import roles_starting

    return roles_starting(incomplete)


def complete_way(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Complete what ``exec --via`` takes beside ARNs."""
    return [CompletionItem(way) for way in WAYS if way.startswith(incomplete)]


def complete_process(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Complete the words of ``credential-process``, which click does not read."""
    if not incomplete.startswith("-"):
        return complete_role(ctx, param, incomplete)
    return [
        CompletionItem(option.flag, help=option.help)
        for option in OPTIONS
        if option.flag.startswith(incomplete)
    ]


_COMPLETED = {"profile": complete_role}
_WAYS = {**_COMPLETED, "via": complete_way}


def complete_served(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Complete NAME=ROLE, or ROLE alone."""
    from .completion import roles_starting

    name, between, role = incomplete.rpartition("=")
    return [
        CompletionItem(f"{name}{between}{one.value}", help=one.help) for one in roles_starting(role)
    ]


def role_argument(*, required: bool = True, name: str = "role") -> Callable[[F], F]:
    """Return a decorator that adds the argument ROLE, which a shell can complete."""
    return click.argument(
        name,
        metavar="ROLE" if required else "[ROLE]",
        required=required,
        shell_complete=complete_role,
    )


def _log(ctx: click.Context, param: click.Parameter, count: int) -> int:
    if count:
        from .verbosity import log_to_stderr

        log_to_stderr(count)
    return count


#: ``-v`` and ``-vv``.
verbose_option: Callable[[F], F] = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_log,
    help="Say more on standard error; -vv: everything but secrets.",
)

#: ``--json``, for whoever prints data.
json_option: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
