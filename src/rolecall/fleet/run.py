"""`fan_out`: one function over many accounts and regions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..refresh import DEFAULT_POLICY, RefreshPolicy
from ..sessions.assume import AnySession
from ..sessions.pickling import packed, travelling_cache
from ..sessions.recipe import Recipe, refuse_types
from ..sources.clients import check_keywords
from ..sources.origin import load_credentials
from ..sources.upstream import botocore_session, default_session, refuse_unless_session
from ..stores import as_store
from .chunks import Convoy, Here, Travelling, run_chunk, sender
from .crew import Crew, Limits
from .driver import Driver
from .entering import errands_of, home_of, planned
from .errands import Errand
from .journal import Journal
from .opening import Opener
from .outcomes import Outcome, Outcomes
from .pacing import Pace
from .plan import Plan
from .regions import RegionSpec
from .roles import RoleSpec
from .settings import Settings, kept, refuse, roomy, seconds_in
from .shards import in_shard, parse_shard
from .tally import Summary, Tally
from .targets import Account, accounts_of
from .travel import packed_bytes
from .work import Work, name_of, work_of

#: Targets at once. A call to AWS takes some 50 to 100 ms of waiting, and some of CPU.
MAX_WORKERS = 20
#: Targets that are sent to a worker of an executor together, unless that leaves fewer than four
#: chunks to be out at once.
CHUNK_SIZE = 10

#: Whose executors' futures are cancelled only where the work has not begun.
_TRUTHFUL = ("concurrent", "loky")

_HINT = (
    "use the session that the function is called with; start from a profile, the environment or a "
    "web identity, which another process finds for itself"
)


def fan_out(
    session: AnySession,
    targets: Iterable[Account | str | int] | Plan,
    *,
    role: RoleSpec = None,
    regions: RegionSpec = None,
    RoleSessionName: str | None = None,
    PolicyArns: Iterable[str | Mapping[str, str]] | None = None,
    Policy: str | Mapping[str, Any] | None = None,
    DurationSeconds: int | timedelta | None = None,
    Tags: Mapping[str, str] | Iterable[Mapping[str, str]] | None = None,
    TransitiveTagKeys: Iterable[str] | None = None,
    ExternalId: str | None = None,
    SourceIdentity: str | None = None,
    max_workers: int = MAX_WORKERS,
    sts_rate: float | None = None,
    executor: Executor | None = None,
    chunk_size: int | None = None,
    failure_tolerance: int | None = None,
    timeout: timedelta | float | str | None = None,
    deadline: timedelta | float | str | None = None,
    attempts: int = 1,
    journal: str | os.PathLike[str] | None = None,
    job: str | None = None,
    shard: str | tuple[int, int] | None = None,
    store: Any = None,
    refresh_policy: RefreshPolicy | None = None,
    sts_client_kwargs: Mapping[str, Any] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> FanOut:
    """Return a run over *targets*, in whose ``with`` block `FanOut.map` calls a function for each.

    Each account's role is assumed once, however many regions, and its session never expires.

    Args:
        session: Who assumes the roles: a boto3, botocore or rolecall session; None: boto3's
            default one. A session of a hub role is assumed once for all.
        targets: Account ids or `Account`\\ s, as of `Organization.select`; or a `Plan`, with
            the same *role* and arguments of AssumeRole as it was made with.
        role: A role's name, with its path if it has one; an ARN in which ``{account}`` stands for
            the account's id; a `Role` or a `RoleChain` with such an ARN at its end; a mapping of
            account ids, or a callable of an `Account`, to any of these. None: the session itself,
            for its own account.
        regions: A list; ``"enabled"``: those that are enabled in each account; a mapping of account
            ids, or a callable of an `Account`, to these. None: the session's own region.
        max_workers: How many targets at once, at most.
        sts_rate: AssumeRole calls a second. None: as fast as they come, until STS throttles.
        executor: Where to run: any `concurrent.futures.Executor`. None: threads of this process.
        chunk_size: How many targets go to a worker of *executor* together; whole accounts do. None:
            a quarter of *max_workers*, at most 10.
        failure_tolerance: How many targets may fail before no more are started. None: any number.
        timeout: For one target: a timedelta, seconds, or text such as ``"5m"``. Its session then
            makes no more calls.
        deadline: For the whole run: after it, nothing more is started.
        attempts: How often a target is tried whose failure may pass, such as throttling.
        journal: A file that notes what was done; targets that it says succeeded are left out.
        job: What the journal calls the work. None: the function's name.
        shard: ``"2/5"`` or ``(2, 5)``: the second fifth of the accounts alone.
        store: Where role sessions are kept between processes, as for `assume_role`\\ ``(cache=…)``.

    Raises:
        TypeError, ValueError: arguments that make no sense, with all that is wrong with them.
        InvalidChain: roles break documented limits; also botocore's ParamValidationError.
        NoCredentialsError: *session* has none (botocore's).
        ConfigError: *session* cannot be sent to *executor*'s processes.
    """
    refuse_unless_session(session)
    refuse_types(refresh_policy=refresh_policy, sts_client_kwargs=sts_client_kwargs)
    refuse(
        at_least_one={
            "max_workers": max_workers,
            "chunk_size": 1 if chunk_size is None else chunk_size,
            "attempts": attempts,
        },
        tolerance=failure_tolerance,
        executor=executor,
        sts_rate=sts_rate,
        journal=journal,
        job=job,
    )
    part = parse_shard(shard)
    if store is not None:
        as_store(store)  # TypeError at the call
    base = default_session() if session is None else session
    options = kept(
        RoleSessionName=RoleSessionName,
        PolicyArns=PolicyArns,
        Policy=Policy,
        DurationSeconds=DurationSeconds,
        Tags=Tags,
        TransitiveTagKeys=TransitiveTagKeys,
        ExternalId=ExternalId,
        SourceIdentity=SourceIdentity,
    )
    sts = roomy(check_keywords(sts_client_kwargs), max_workers)
    settings = Settings(
        base=base,
        policy=(refresh_policy or DEFAULT_POLICY).with_environ(os.environ),  # noqa: TID251 - border
        sts_client_kwargs=sts,
        store=store,
        clock=clock,
        max_workers=max_workers,
        sts_rate=sts_rate,
        executor=executor,
        chunk_size=chunk_size,
        tolerance=failure_tolerance,
        timeout=seconds_in("timeout", timeout),
        deadline=seconds_in("deadline", deadline),
        attempts=attempts,
        journal=journal,
        job=job,
        home=home_of(base),
    )
    errands: list[Errand]
    if isinstance(targets, Plan):
        if regions is not None:
            raise TypeError("a plan says which regions: leave regions out")
        plan = targets if part is None else targets.shard(*part)
        errands = planned(plan, base, role, options, sts.get("region_name"))
    else:
        accounts = accounts_of(targets)
        if part is not None:
            accounts = tuple(one for one in accounts if in_shard(one.id, *part))
        errands = errands_of(base, accounts, role, regions, options, sts.get("region_name"))
    return FanOut(settings, errands)


class FanOut:
    """A run of one function over accounts and regions, from `fan_out`.

    Leaving its ``with`` block waits until all is done; with an exception, as of Ctrl-C, nothing
    more is started, and what runs is given its time-out.
    """

    def __init__(self, settings: Settings, errands: Sequence[Errand]) -> None:
        self._settings = settings
        self._errands = tuple(errands)
        self._driver: Driver | None = None
        self._stopped = False  # before there was anything to stop

    def __repr__(self) -> str:
        return f"FanOut({len(self._errands)} accounts)"

    def __enter__(self) -> FanOut:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        driver = self._driver
        if driver is None:
            return
        try:
            if kind is not None:
                driver.stop("interrupted")
            driver.finish()
        except KeyboardInterrupt:  # the second one: no more waiting
            driver.kill()
            driver.finish()
            raise
        except Exception:
            if kind is None:  # else it is what the block has ended with
                raise

    def map(self, function: Callable[..., Any]) -> Outcomes:
        """Call *function* with the session of each target; return what comes of it, as it comes.

        The calls begin at once, in threads or wherever the executor runs; the outcomes come in the
        order they are done. To leave a loop over them early stops the run; where nobody takes them,
        it goes on in a ``with`` block only.

        Args:
            function: Called as ``function(session)``, or as ``function(session, target)`` where it
                has a second argument without a default, or one named ``target``. The session is
                the target's own, and good for one thread. What it raises is that target's failure.

        Raises:
            TypeError: *function* cannot be called so, or is a coroutine function.
            RuntimeError: the run has been used already.
            FetchError: the session that is to assume the roles has no credentials.
            ConfigError: the journal cannot be used, or *function* cannot be sent to the executor.
        """
        if self._driver is not None:
            raise RuntimeError("a run calls one function: make another with fan_out")
        work = work_of(function)
        settings = self._settings
        tally = Tally(settings.tolerance)
        start = self._starter(work)
        journal = None
        if settings.journal is not None:
            journal = Journal.open(settings.journal, job=settings.job or name_of(function))
        try:
            errands = self._errands
            if journal is not None:
                errands = tuple(_without_done(errands, journal, tally))
            self._driver = start(errands, tally, journal)
        except BaseException:
            if journal is not None:
                journal.close()
            raise
        if self._stopped:
            self._driver.stop("interrupted")
        self._driver.start()
        return Outcomes(_Stream(self._driver))

    def plan(self) -> Plan:
        """Return all targets: accounts with their regions and roles. Nothing is run.

        Where regions are ``"enabled"``, each account's role is assumed, and EC2 asked.
        """
        failed: list[Outcome] = []
        found: dict[str, tuple[str, ...]] = {}
        asking = [errand for errand in self._errands if errand.asks]
        if asking:
            settings = self._settings
            self._warm(asking)
            crew = Crew(
                asking,
                None,
                self._opener(),
                settings.limits(settings.max_workers),
                clock=settings.clock,
                tally=Tally(None),
            )
            crew.start()
            failed = [outcome for outcome in crew.stream() if not outcome.ok]
            found = crew.found
        lost = {outcome.account.id for outcome in failed}
        return Plan(
            targets=tuple(
                target
                for errand in self._errands
                if errand.account.id not in lost
                for target in errand.targets(found.get(errand.account.id))
            ),
            failed=tuple(sorted(failed, key=lambda outcome: outcome.account.id)),
        )

    def stop(self) -> None:
        """Start nothing more; outcomes of what runs still come."""
        self._stopped = True
        if self._driver is not None:
            self._driver.stop("interrupted")

    def kill(self) -> None:
        """Start nothing more, and wait for nothing: what runs is refused every call to AWS."""
        self._stopped = True
        if self._driver is not None:
            self._driver.kill()

    @property
    def summary(self) -> Summary:
        """What has come of it so far."""
        return Summary() if self._driver is None else self._driver.summary

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts, in the order they are begun."""
        return tuple(errand.account for errand in self._errands)

    def _starter(self, work: Work) -> Callable[[Sequence[Errand], Tally, Journal | None], Driver]:
        """Check all that may be wrong with how *work* is to be run; return what runs it."""
        settings, clock = self._settings, self._settings.clock
        executor = settings.executor
        ends = settings.deadline

        def until() -> float | None:
            return None if ends is None else clock.boottime() + ends

        if executor is None:
            self._warm(self._errands)
            opener, limits = self._opener(), settings.limits(settings.max_workers)
            return lambda errands, tally, journal: Crew(
                errands, work, opener, limits,
                clock=clock, tally=tally, journal=journal, deadline=until(),
            )  # fmt: skip
        most = settings.max_workers
        width = settings.chunk_size or min(CHUNK_SIZE, -(-most // 4))
        # Python 3.14's interpreters are workers as processes are, whatever their pool derives from.
        threads = isinstance(executor, ThreadPoolExecutor) and "Interpreter" not in repr(
            type(executor)
        )
        if threads:
            width = 1
        at_once = -(-most // width)
        width = most // at_once  # so that all together are not more
        here: Here | None = None
        if threads:
            self._warm(self._errands)
            here = Here(self._opener(), work, settings.limits(1), clock)
            submit = sender(executor, here.run)
        else:
            submit = sender(executor, run_chunk, self._sent(work, settings.limits(width)))
        return lambda errands, tally, journal: Convoy(
            errands, submit, width=width, at_once=at_once, rate=settings.sts_rate, here=here,
            recalls=type(executor).__module__.partition(".")[0] in _TRUTHFUL,
            clock=clock, tally=tally, journal=journal, deadline=until(),
        )  # fmt: skip

    def _sent(self, work: Work, limits: Limits) -> bytes:
        settings = self._settings
        for parent in {errand.way.parent: None for errand in self._errands}:
            if parent is not None:
                packed_bytes(parent, str(parent), _HINT)  # it goes with each chunk
        needed = any(errand.way.parent is None for errand in self._errands)
        common = Travelling(
            base=packed(settings.base) if needed else (_nothing, ()),
            work=work,
            limits=limits,
            policy=settings.policy,
            sts_client_kwargs=settings.sts_client_kwargs,
            openings={**settings.openings, "store": travelling_cache(settings.store)},
            store=travelling_cache(settings.store),
            rate=settings.sts_rate,
        )
        return packed_bytes(common, "the function", _HINT)

    def _opener(self) -> Opener:
        settings = self._settings
        recipe = Recipe(
            policy=settings.policy,
            sts_client_kwargs=settings.sts_client_kwargs,
            cache=settings.store,
            clock=settings.clock,
            pace=Pace(settings.sts_rate, clock=settings.clock),
        )
        openings = {**settings.openings, "clock": settings.clock}
        return Opener(settings.base, recipe=recipe, openings=openings)

    def _warm(self, errands: Iterable[Errand]) -> None:
        """Have the credentials that roles are assumed with: here, where a person may be asked."""
        opener = self._opener()
        for parent in {errand.way.parent: None for errand in errands}:
            session = botocore_session(opener.parent(parent))
            load_credentials(session).get_frozen_credentials()


class _Stream:
    """A run's outcomes, to be gone through once, if with pauses."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __iter__(self) -> Iterator[Outcome]:
        return self._driver.stream()


def _nothing() -> None:
    """Return what stands for a session that no chain starts from."""


def _without_done(errands: Iterable[Errand], journal: Journal, tally: Tally) -> Iterator[Errand]:
    for errand in errands:
        regions = errand.known
        if errand.asks:
            regions = journal.regions_of(errand.account.id, errand.role)
        if regions is None:
            yield errand
            continue
        done = frozenset(one for one in regions if journal.is_done(errand.at(one)))
        tally.skipped += len(done)
        if len(done) < len(regions):
            yield replace(errand, regions=tuple(regions), done=done)
