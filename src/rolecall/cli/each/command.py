"""``rolecall each … -- PROGRAM…``: a program or a call in many accounts and regions."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..parameters import verbose_option
from .checks import check, check_output, goes_on
from .options import Each, each_options, flat

if TYPE_CHECKING:
    from ...fleet import FanOut, Outcome, Summary
    from .accounts import Selection
    from .progress import Screen

#: So many failures, and targets that did not run, are named at the end.
_NAMED = 10


@click.command("each", cls=Each)
@each_options
@verbose_option
@click.pass_context
def command(ctx: click.Context, /, **values: Any) -> int:
    """Run a program or an AWS call in many accounts.

    PROGRAM runs once for each account and region, as the role ROLE there; what it prints becomes
    a row of a table. It knows where it is by ROLECALL_ACCOUNT_ID and ROLECALL_REGION.

    \b
      rolecall each --ou prod --role Auditor -- aws s3api list-buckets
      rolecall each --organization --role Auditor --regions enabled --call ec2.describe_vpcs
      rolecall each --account 111122223333 --role Reader --format csv -- ./check.sh

    The first Ctrl-C starts nothing more, the second one ends what runs.
    """
    from .accounts import Selection
    from .progress import warnings_said

    program: Sequence[str] = ctx.meta["program"]
    selection = Selection(
        accounts=flat(values.pop("account")),
        exclude=flat(values.pop("exclude")),
        **{
            name: values.pop(name)
            for name in (
                "file", "plan", "organization", "ous", "exclude_ous", "tags", "name", "states",
                "include_management", "cache",
            )
        },
    )  # fmt: skip
    check(selection, program, values)
    verbose = ctx.get_parameter_source("verbose") is ParameterSource.COMMANDLINE
    job = _Job(program, selection, values, quiet=verbose or values["no_progress"])
    with nullcontext() if verbose else warnings_said(job.screen):
        return job.run()


class _Job:
    """One command line of ``each``, checked as far as that goes without asking anybody."""

    def __init__(
        self,
        program: Sequence[str],
        selection: Selection,
        values: Mapping[str, Any],
        *,
        quiet: bool,
    ) -> None:
        from ..children import as_given
        from .printed import format_of
        from .progress import Screen

        self.program = program
        self.selection = selection
        self.values = values
        self.only_plans = values["dry_run"] or not (program or values["call"])
        self.environ = as_given(os.environ)  # noqa: TID251 - border
        self.format = format_of(
            values["format"],
            values["output"],
            plan=self.only_plans,
            streams=values["journal"] is not None,
            rows=values["rows"],
            for_spreadsheets=values["for_spreadsheets"],
        )
        # Rows that come one by one, at the same terminal, would be written over the bar.
        mixed = values["output"] is None and self.format != "table" and _is_terminal(sys.stdout)
        self.screen = Screen(bar=not quiet and not mixed)

    def run(self) -> int:
        """Do it; return the exit code."""
        from ..children import without_core_dumps
        from .program import found

        if self.program:
            missing = found(self.program[0], self.environ)
            if missing:
                reason = "not found" if missing == 127 else "cannot be run"
                self.screen.say(f"{self.program[0]}: {reason}")
                return missing
        core = without_core_dumps()
        run = self._open()
        failed = self._plan(run)
        if self.only_plans:
            return 1 if failed else 0
        with ExitStack() as stack:
            return self._run(run, stack, core)

    def _open(self) -> FanOut:
        """Return the run, with nothing begun."""
        from ...fleet import fan_out
        from ...refresh import DEFAULT_POLICY
        from ...sessions.handing import HANDING_POLICY
        from ...stores import open_store
        from .accounts import kept, listed, read, usable, with_roles, without_roles
        from .roles import fetch, open_base, role_keywords, sts_keywords

        values, selection = self.values, self.selection
        if not self.only_plans:
            check_output(values, self.format)
        keywords = role_keywords(values)
        targets = read(selection)
        role = values["role"]
        if targets is not None:
            targets = with_roles(targets, values["roles_for"])
        if role is None and (targets is None or without_roles(targets)):
            which = "" if targets is None else f" (none is named for {without_roles(targets)[0]})"
            raise click.UsageError(f"--role: which role is to be assumed in each account?{which}")
        session, region = open_base(values, self.environ)
        self._check_call(session)
        fetch(session)  # now, while we have the terminal to ask for a code
        if targets is None:
            targets = with_roles(listed(selection, session, self.environ), values["roles_for"])
        if not kept(targets):
            raise click.UsageError("no account is left of those that are meant")
        regions = flat(values["regions"])
        found: FanOut = usable(
            lambda: fan_out(
                session,
                targets,
                role=role,
                regions="enabled" if regions == ("enabled",) else regions or None,
                **keywords,
                **{
                    name: values[name]
                    for name in (
                        "max_workers", "sts_rate", "failure_tolerance", "timeout", "deadline",
                        "attempts", "journal", "shard",
                    )
                },
                job=self.name,
                store=open_store(environ=self.environ),
                refresh_policy=HANDING_POLICY if self.program else DEFAULT_POLICY,
                sts_client_kwargs=sts_keywords(values, region),
            )
        )  # fmt: skip
        return found

    @property
    def name(self) -> str:
        """What the journal calls it: without its words, for they may hold secrets."""
        if self.program:
            what, words = os.path.basename(self.program[0]), [*self.program]
        else:
            what = self.values["call"]
            arguments = json.dumps(self._arguments(), sort_keys=True)
            words = [self.values["call"], arguments, self.values["query"]]
        digest = hashlib.sha256(json.dumps(words).encode()).hexdigest()
        return f"each {what} {digest[:16]}"

    def _plan(self, run: FanOut) -> bool:
        """Show and save the plan, if that is wanted; return whether something of it failed."""
        from .printed import write_plan

        path = self.values["save_plan"]
        if not self.only_plans and path is None:
            return False
        shows = self.values["dry_run"] or path is None
        missing = shows and self.values["journal"] is not None
        if path is not None:
            plan = run.plan()
            plan.save(path)
        if path is None or missing:
            plan = run.plan(missing=missing)
        if shows:
            write_plan(plan, self.format, self.values["output"])
        if self.only_plans:
            accounts = len({target.account.id for target in plan})
            left = f" are left, by {self.values['journal']}" if missing else ""
            self.screen.say(f"{len(plan)} targets in {accounts} accounts{left}; nothing was run")
        for outcome in plan.failed[:_NAMED]:
            self.screen.say(f"{outcome.target}: its regions are not known: {outcome.error}")
        if len(plan.failed) > _NAMED:
            self.screen.say(f"and {len(plan.failed) - _NAMED} more")
        return bool(plan.failed)

    def _check_call(self, session: Any) -> None:
        from ...fleet.calls import check_call
        from .accounts import usable

        if self.values["call"]:
            service, _, operation = self.values["call"].partition(".")
            query, arguments = self.values["query"], self._arguments()
            usable(lambda: check_call(session, service, operation, query, arguments))

    def _arguments(self) -> dict[str, Any]:
        from ...errors import ConfigError
        from ..naming import policy_path

        text = self.values["arguments"]
        if text is None:
            return {}
        path = policy_path(text)
        try:
            if path is not None:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
            found = json.loads(text)
        except OSError as error:
            raise ConfigError(f"--arguments: cannot be read: {error.strerror}") from error
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise click.UsageError('--arguments: must be a JSON object such as {"Bucket": "logs"}')
        return found

    def _function(self, stack: ExitStack, core: int | None) -> tuple[Callable[..., Any], Any]:
        """Return what is called for each target, and the programs that it runs, if it does."""
        if not self.program:
            from ...fleet.calls import call

            service, _, operation = self.values["call"].partition(".")
            query, arguments = self.values["query"], self._arguments()
            return (lambda session: call(session, service, operation, arguments, query)), None
        from .program import programs

        timeout = self.values["timeout"]
        running = stack.enter_context(
            programs(
                self.program,
                self.environ,
                way=self.values["way"],
                core=core,
                timeout=None if timeout is None else timeout.total_seconds(),
                heard=self.screen.line,
            )
        )
        return running, running

    def _run(self, run: FanOut, stack: ExitStack, core: int | None) -> int:
        from .printed import write_outcomes
        from .signals import Interruptions, taken

        screen, values = self.screen, self.values
        adds = goes_on(values["journal"], values["output"])
        failures: list[Outcome] = []
        programs: Any = None

        def stop() -> None:
            run.stop()
            screen.say_when_possible(
                "interrupted: nothing more is started; once more ends what runs"
            )

        def end() -> None:
            run.kill()
            if programs is not None:
                programs.end()
            screen.say_when_possible("interrupted: what runs is ended")

        def kill() -> None:
            run.kill()
            if programs is not None:
                programs.kill()
            interruptions.leave_soon()

        interruptions = Interruptions(stop=stop, end=end, kill=kill)
        stack.callback(interruptions.stay)
        stack.enter_context(taken(interruptions))
        function, programs = self._function(stack, core)

        def watched(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
            for outcome in outcomes:
                if not outcome.ok and len(failures) < _NAMED:
                    failures.append(outcome)
                screen.tell(run.summary, run.targets)
                yield outcome
            screen.clear()  # before a table is printed where the bar is

        with screen, run:
            outcomes = iter(run.map(function))
            if interruptions.code is not None:  # before there was anything to stop
                (end if interruptions.is_over else run.stop)()
            screen.tell(run.summary, run.targets)
            write_outcomes(
                watched(outcomes),
                self.format,
                values["output"],
                rows=values["rows"],
                append=adds,
                for_spreadsheets=values["for_spreadsheets"],
            )
        _report(run.summary, failures, screen, values["journal"])
        if interruptions.code is not None:
            return interruptions.code
        return 0 if run.summary.all_ok else 1


def _report(
    summary: Summary, failures: Sequence[Outcome], screen: Screen, journal: str | None
) -> None:
    from .printed import short

    for one in failures:
        screen.say(f"{one.target}: {short(str(one.error))}")
    if summary.failures > len(failures):
        screen.say(f"and {summary.failures - len(failures)} more failures")
    if summary.not_run:
        named = ", ".join(map(str, summary.not_run[:_NAMED]))
        more = len(summary.not_run) - _NAMED
        screen.say(f"not run: {named}{f' and {more} more' if more > 0 else ''}")
        if journal is not None:
            screen.say(f"the same command goes on with them, by what {journal} says was done")
        else:
            screen.say("with --journal FILE the same command could go on with them")
    screen.say(str(summary))


def _is_terminal(file: Any) -> bool:
    return file is not None and bool(file.isatty())
