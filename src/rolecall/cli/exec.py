"""``rolecall exec ROLE -- PROGRAM…``: run a program as a role."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from .parameters import WAYS, asked, role_argument, role_options, verbose_option

if TYPE_CHECKING:
    from ..refresh import Refresher
    from .naming import Named
    from .options import Asked

_VIA = (
    "how the program gets its credentials: endpoint (the default: renewed for as long as it runs), "
    "env (keys in its environment, which end), process (a credential_process of its own); or, with "
    "an ARN: a role to assume on the way; may be given again, in order"
)


class WithProgram(click.Command):
    """A command whose last words, after ``--``, are another program's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what comes after ``--`` from click, whatever it looks like."""
        ours, program = args, []
        if "--" in args:
            at = args.index("--")
            ours, program = args[:at], args[at + 1 :]
            ctx.meta["in_program"] = True
            if not program and not ctx.resilient_parsing:
                raise click.UsageError("there is no program after --", ctx)
        ctx.meta["program"] = program
        return super().parse_args(ctx, ours)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete our words, and after ``--`` files."""
        if ctx.meta.get("in_program"):
            return [CompletionItem(incomplete, type="file")]
        return super().shell_complete(ctx, incomplete)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the words of the usage line."""
        return [*filter(None, super().collect_usage_pieces(ctx)), "[-- PROGRAM [WORDS]...]"]


@click.command("exec", cls=WithProgram)
@role_argument()
@click.argument("more", nargs=-1, metavar="")
@role_options(via=_VIA)
@click.option(
    "--refresh-before",
    metavar="TIME",
    help="Make sure that so much life is left at the start, such as 45m.",
)
@click.option(
    "--allow-nested", is_flag=True, help="Start from what another rolecall exec has given us."
)
@verbose_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    role: str,
    more: tuple[str, ...],
    refresh_before: str | None,
    allow_nested: bool,
    via: tuple[str, ...],
    **values: Any,
) -> int:
    """Run a program as a role; its credentials never expire.

    PROGRAM is the role for as long as it runs: whatever it has of AWS keys and profiles is kept
    from it. Its exit code is ours; without a PROGRAM it is a shell.

    \b
      rolecall exec deploy -- terraform apply
      rolecall exec deploy --via env -- ./old-tool
      rolecall exec arn:aws:iam::123456789012:role/Reader --profile hub -- aws s3 ls
    """
    if more:
        raise click.UsageError(f"put -- before the program: rolecall exec {role} -- {more[0]} …")
    ways = [word for word in via if not word.startswith("arn:")]
    unknown = [word for word in ways if word not in WAYS]
    if unknown:
        raise click.UsageError(f"--via {unknown[0]}: must be an ARN, endpoint, env or process")
    if len(ways) > 1:
        raise click.UsageError(f"--via says both {' and '.join(ways)}")
    hops = tuple(word for word in via if word.startswith("arn:"))
    named_as = asked(role, {**values, "via": hops})
    return _run(
        named_as,
        program=ctx.meta["program"],
        way=ways[0] if ways else "endpoint",
        refresh_before=refresh_before,
        allow_nested=allow_nested,
    )


def _run(
    asked: Asked,
    *,
    program: Sequence[str],
    way: str,
    refresh_before: str | None,
    allow_nested: bool,
) -> int:
    from ..endpoint.environment import MARKER
    from ..sessions.handing import handing, local_expiry
    from .children import as_given, without_core_dumps
    from .endings import say
    from .lifetimes import ensure
    from .naming import open_named
    from .notices import Notices, fetched
    from .rewording import who

    environ: Mapping[str, str] = os.environ  # noqa: TID251 - border
    if environ.get(MARKER) and not allow_nested:
        raise click.UsageError(
            f"this runs as {environ[MARKER]} already: exit from it, or give --allow-nested"
        )
    environ = as_given(environ)
    core = None if way == "env" else without_core_dumps()
    notices = Notices()
    named = open_named(asked, environ, on_event=notices)
    refresher = handing(named.session, own=True)
    # Now, while we have the terminal to ask for a code, and can still say that it is refused.
    local_expiry(fetched(refresher))
    ensure(refresher, refresh_before)
    notices.begin(who(asked))
    if (
        named.region is None
        and not environ.get("AWS_REGION")
        and sys.stderr is not None
        and sys.stderr.isatty()
    ):
        say("no region is known for this role: give --region if the program needs one")
    words = list(program) or _shell(environ, named)
    if way == "env":
        return _become(words, named, refresher, environ)
    if way == "process":
        return _by_process(words, named, environ, core)
    return _by_endpoint(words, named, refresher, environ, core)


def _by_endpoint(
    words: Sequence[str],
    named: Named,
    refresher: Refresher,
    environ: Mapping[str, str],
    core: int | None,
) -> int:
    from ..endpoint import account_in
    from ..endpoint.app import Served
    from ..endpoint.child import serving_child
    from ..endpoint.server import Endpoint
    from ..endpoint.status import noted
    from .children import run, signals_kept
    from .rewording import who

    name = named.asked.role or "role"
    arn = named.role_arn
    served = Served(
        name=name,
        refresher=refresher,
        role_arn=arn,
        account_id=account_in(arn),
        at_a_terminal=f"run `{who(named.asked)}` at a terminal",
    )
    endpoint = Endpoint([served])
    with (
        signals_kept(),
        endpoint,
        serving_child(endpoint, name, environ, named.region) as child,
        noted(f"exec {name}", endpoint.status_url, endpoint.status_token, environ),
    ):
        return run(words, child, core=core)


def _by_process(
    words: Sequence[str], named: Named, environ: Mapping[str, str], core: int | None
) -> int:
    from ..endpoint.environment import OF_SOURCE, absolute, child_environment, unshadowed
    from ..endpoint.private_files import private_directory, write_variables
    from .children import run, signals_kept
    from .rewording import for_a_profile

    with private_directory(environ) as folder:
        # What is taken out of the child's environment is what the role is assumed with.
        kept = folder / "environment"
        write_variables(
            kept, {name: absolute(name, environ) for name in OF_SOURCE if name in environ}
        )
        child = child_environment(
            environ, name=named.asked.role or "role", variables={}, region=named.region
        )
        process = shlex.join(
            [
                *_ourselves(),
                "credential-process",
                "--environment",
                str(kept),
                *for_a_profile(named.asked),
            ]
        )
        child = unshadowed(child, folder, process=process)
        with signals_kept():
            return run(words, child, core=core)


def _ourselves() -> list[str]:
    """Return the words that start this very rolecall, whatever the PATH is by then."""
    script = os.path.join(os.path.dirname(sys.executable), "rolecall")
    if os.access(script, os.X_OK):
        return [script]
    return [sys.executable, "-m", "rolecall"]


def _become(
    words: Sequence[str], named: Named, refresher: Refresher, environ: Mapping[str, str]
) -> int:
    """Turn into the program, which has keys in its environment and lives with what they live."""
    import shutil

    from ..endpoint.environment import child_environment, unshadowed
    from ..endpoint.private_files import make_private_directory
    from .formats import variables_of
    from .launch import become, undo_pythons_signals
    from .process_cache import LONGEST_LIFE_SECONDS

    child = child_environment(
        environ,
        name=named.asked.role or "role",
        variables=variables_of(refresher.get()),
        region=named.region,
    )
    # Where the default profile has keys, some SDKs take those before these. The files stay until
    # its keys are of no use any more: a later rolecall deletes them.
    folder = make_private_directory(environ, kept_for=LONGEST_LIFE_SECONDS)
    child = unshadowed(child, folder)
    if not any(folder.iterdir()):
        folder.rmdir()
    if os.name == "nt":  # which has no exec: the shell would go on at once
        from .children import run

        code = run(words, child)
    else:
        undo_pythons_signals()
        code = become(words, child)
    shutil.rmtree(folder, ignore_errors=True)
    return code


def _shell(environ: Mapping[str, str], named: Named) -> list[str]:
    """Return the shell that runs where no program is named."""
    from .endings import say

    default = "cmd.exe" if os.name == "nt" else "/bin/sh"
    shell = environ.get("COMSPEC" if os.name == "nt" else "SHELL") or default
    if sys.stderr is not None and sys.stderr.isatty():
        say(f"a shell as {named.role_arn or named.asked.role}; `exit` leaves it")
    return [shell]
