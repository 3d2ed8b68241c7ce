"""``rolecall serve NAME=ROLE…``: the endpoint for programs that somebody else starts."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .parameters import asked, complete_served, role_options, verbose_option

if TYPE_CHECKING:
    from ..endpoint.server import Endpoint

#: In the first line of the files that ``--write`` writes, and may overwrite.
_OURS = "of rolecall serve, for as long as it runs"

_FIRST_LINE = 200

_FORMATS = ("env", "env-no-export", "fish", "powershell", "cmd", "dotenv", "json")


@click.command("serve")
@click.argument(
    "names", metavar="NAME=ROLE...", nargs=-1, required=True, shell_complete=complete_served
)
@role_options()
@click.option(
    "--format",
    "format",
    type=click.Choice(_FORMATS),
    default="env",
    show_default=True,
    help="How the variables are written.",
)
@click.option("--json", "format", flag_value="json", help="The same as --format json.")
@click.option(
    "--write",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Write them to DIR/NAME.env instead, of mode 0600, for as long as this runs.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1 (default: one that is free)."
)
@verbose_option
def command(
    names: tuple[str, ...], format: str, folder: str | None, port: int | None, **values: Any
) -> int:
    """Serve roles to programs that are started elsewhere.

    Prints the variables that a program needs to be one of the roles, and serves until it is
    interrupted. They are as good as the role itself while this runs: the token in them is a
    secret. A ROLE without NAME goes by its own.

    \b
      rolecall serve deploy
      rolecall serve live=deploy-live test=deploy-test --write ~/.roles
    """
    environ = os.environ  # noqa: TID251 - border
    roles = _pairs(names)
    if folder is not None and format == "json":
        raise click.UsageError("--write is for variables, not for JSON")
    if folder is not None:
        unfit = [name for name in roles if os.path.basename(name) != name or name.startswith(".")]
        if unfit:
            raise click.UsageError(f"--write: {unfit[0]} is no name of a file: give it a NAME=")
    return _serve(roles, values, format, folder, port or 0, environ)


def _pairs(names: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in names:
        # An ARN may have = in its path.
        name, between, role = ("", "", word) if word.startswith("arn:") else word.partition("=")
        if not between:
            name = role = word
        if not name or not role:
            raise click.UsageError(f"{word}: must be NAME=ROLE, or a ROLE")
        if name in found:
            raise click.UsageError(f"{name} is there twice: give one another NAME=")
        found[name] = role
    return found


def _serve(
    roles: Mapping[str, str],
    values: dict[str, Any],
    format: str,
    folder: str | None,
    port: int,
    environ: Mapping[str, str],
) -> int:
    from ..endpoint import account_in
    from ..endpoint.app import Served
    from ..endpoint.private_files import private_directory, write
    from ..endpoint.server import Endpoint
    from ..endpoint.status import noted
    from ..sessions.handing import handing, local_expiry
    from .children import without_core_dumps
    from .endings import say
    from .naming import open_named
    from .notices import Notices, fetched
    from .rewording import who

    without_core_dumps()
    served: list[Served] = []
    regions: dict[str, str | None] = {}
    all_notices: list[Notices] = []
    for name, role in roles.items():
        notices = Notices()
        named = open_named(asked(role, dict(values)), environ, on_event=notices)
        refresher = handing(named.session, own=True)
        local_expiry(fetched(refresher))
        arn = named.role_arn
        served.append(
            Served(
                name=name,
                refresher=refresher,
                role_arn=arn,
                account_id=account_in(arn),
                at_a_terminal=f"run `{who(named.asked)}` at a terminal",
            )
        )
        regions[name] = named.region
        notices.begin(who(named.asked))
        all_notices.append(notices)
    with (
        told_to_end() as over,
        Endpoint(served, port=port) as endpoint,
        private_directory(environ) as own,
        noted("serve", endpoint.status_url, endpoint.status_token, environ),
    ):
        files = {}
        for number, name in enumerate(roles):
            file = own / f"token-{number}"
            write(file, endpoint.tokens[name])
            files[name] = str(file)
        variables = _variables(endpoint, files, regions)
        if folder is None:
            click.echo(_told(variables, format), nl=False)
            sys.stdout.flush()
        with written(variables, format, folder, environ):
            say(f"serving {', '.join(roles)} on {endpoint.host}; interrupt to end")
            while not over.wait(3600):  # with a limit, or no signal comes through on Windows
                pass
    return 0


@contextmanager
def written(
    variables: Mapping[str, Mapping[str, str]],
    format: str,
    folder: str | None,
    environ: Mapping[str, str],
) -> Iterator[None]:
    """Have a file for each name in *folder* inside ``with``; None: nowhere.

    Raises:
        ConfigError: they cannot be written.
    """
    from ..endpoint.private_files import write
    from ..errors import ConfigError
    from ..stores import private
    from ..stores.locks import expanded

    files: dict[Path, str] = {}
    try:
        if folder is not None:
            place = Path(expanded(folder, environ))
            mark = f"{_comment(format)} {_OURS}\n"
            texts = {
                place / f"{name}.env": mark + _with_others_gone(format, values)
                for name, values in variables.items()
            }
            foreign = [file for file in texts if not _is_ours(file)]
            if foreign:
                raise ConfigError(
                    f"--write {folder}: {foreign[0]} is there, and not of rolecall serve",
                    hint="name another directory, or give the role another NAME=",
                )
            try:
                private.make_directory(place, exclusive=True)
                for file, text in texts.items():
                    write(file, text)
                    files[file] = text
            except OSError as error:
                reason = error.strerror or str(error)
                raise ConfigError(f"--write {folder}: {reason}") from error
        yield
    finally:
        for file, text in files.items():
            with suppress(OSError, ValueError):
                if file.read_text(encoding="utf-8") == text:  # not another one's meanwhile
                    file.unlink()


def _with_others_gone(format: str, values: Mapping[str, str]) -> str:
    """Return *values* for a shell, in which nothing is left that would win over them."""
    from ..endpoint.environment import REMOVED
    from .formats import taken_back, variables_as

    return taken_back(format, set(REMOVED) - values.keys()) + variables_as(format, values)


def _comment(format: str) -> str:
    return "rem" if format == "cmd" else "#"


def _is_ours(file: Path) -> bool:
    """Return whether *file* is not there, or was written by a serve before."""
    if not os.path.lexists(file):
        return True
    try:
        # Not what would have to be waited for; a link is replaced, and what it leads to unharmed.
        if not file.is_file():
            return file.is_symlink()
        with open(file, "rb") as found:
            return _OURS.encode() in found.read(_FIRST_LINE).partition(b"\n")[0]
    except OSError:
        return False


def _variables(
    endpoint: Endpoint, files: Mapping[str, str], regions: Mapping[str, str | None]
) -> dict[str, dict[str, str]]:
    """Return what a program needs to be each role. Secret."""
    variables: dict[str, dict[str, str]] = {}
    for name, file in files.items():
        region = regions[name]
        variables[name] = {
            **endpoint.variables(name),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file,
            **({"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}),
        }
    return variables


def _told(variables: Mapping[str, Mapping[str, str]], format: str) -> str:
    """Return *variables* as *format* writes them, each role's under its name."""
    import json

    if format == "json":
        return json.dumps(variables, indent=2) + "\n"
    parts = [
        (f"{_comment(format)} {name}\n" if len(variables) > 1 else "")
        + _with_others_gone(format, values)
        for name, values in variables.items()
    ]
    return "\n".join(parts)


@contextmanager
def told_to_end() -> Iterator[threading.Event]:
    """Give what is set when somebody interrupts or ends this process, which then does not die."""
    over = threading.Event()

    def end(*_: object) -> None:
        over.set()

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    kinds = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {kind: signal.getsignal(kind) for kind in kinds}
    try:
        for kind in kinds:
            if before[kind] is not signal.SIG_IGN:  # as under nohup
                signal.signal(kind, end)
        yield over
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
