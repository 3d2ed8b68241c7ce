"""``rolecall export ROLE``: a role's keys for a shell or a file."""

from __future__ import annotations

import os
from typing import Any

import click

from .parameters import asked, role_argument, role_options, verbose_option

# Those of `formats.FORMATS`, which takes longer to load.
_FORMATS = ("env", "env-no-export", "fish", "powershell", "cmd", "json", "ini", "dotenv")


@click.command("export")
@role_argument()
@role_options()
@click.option(
    "--format",
    "format",
    type=click.Choice(_FORMATS),
    default="env",
    show_default=True,
    help="How they are written.",
)
@click.option("--json", "format", flag_value="json", help="The same as --format json.")
@click.option(
    "--refresh-before",
    metavar="TIME",
    help="Make sure that so much life is left, such as 45m.",
)
@verbose_option
def command(role: str, format: str, refresh_before: str | None, **values: Any) -> None:
    """Print a role's keys for a shell or a file.

    They end with the session: where the tool can, use exec or credential-process instead.

    \b
      eval "$(rolecall export deploy)"
      rolecall export deploy --format fish | source
      rolecall export deploy --format json
    """
    from ..sessions.handing import handing, local_expiry
    from .formats import taken_back, written
    from .lifetimes import ensure
    from .naming import open_named
    from .notices import fetched

    environ = os.environ  # noqa: TID251 - border
    named = open_named(asked(role, values), environ)
    refresher = handing(named.session, own=True)
    local_expiry(fetched(refresher))
    ensure(refresher, refresh_before)
    profile = role.rpartition("/")[2] if role.startswith("arn:") else role
    # With a profile named, the JavaScript SDK does not look at keys in the environment.
    stale = [name for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if name in environ]
    click.echo(taken_back(format, stale), nl=False)
    click.echo(written(format, refresher.get(), named.region, profile), nl=False)
