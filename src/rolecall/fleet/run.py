"""A run of one function over many accounts and regions: started, stopped, summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from ..clock import Clock
from ..errors import ConfigError
from ..sessions.pickling import packed, travelling_cache
from ..sessions.recipe import Recipe
from ..sources.origin import load_credentials
from ..sources.upstream import botocore_session
from .errands import Errand
from .plan import Plan
from .results.journal import Journal
from .results.outcomes import Failure, Outcome, Outcomes
from .results.tally import Summary, Tally
from .running.chunks import Convoy
from .running.crew import Crew
from .running.driver import Driver
from .running.opening import Opener
from .running.pacing import Pace
from .running.tasks import Limits
from .running.travel import packed_bytes
from .running.work import Work, is_known_by_name, name_of, work_of
from .running.worker import Here, Travelling, run_chunk, sender
from .settings import Settings, roomy
from .targets import Account, Target

#: Targets that are sent to a worker of an executor together, unless that leaves fewer than four
#: chunks to be out at once.
CHUNK_SIZE = 10

#: A run that goes on has the regions that it had; after so long, an account may have others.
_REGIONS_LAST = timedelta(days=1)
_EVER = datetime.min.replace(tzinfo=timezone.utc)

#: Whose executors' futures are cancelled only where the work has not begun.
_TRUTHFUL = ("concurrent", "loky")

_HINT = (
    "use the session that the function is called with; start from a profile, the environment or a "
    "web identity, which another process finds for itself"
)


class FanOut:
    """A run of one function over accounts and regions, from `fan_out`.

    Leaving its ``with`` block waits until all is done; with an exception, as of Ctrl-C, nothing
    more is started, and what runs is given its time-out.
    """

    def __init__(
        self,
        settings: Settings,
        errands: Sequence[Errand],
        *,
        unplanned: tuple[Target, ...] = (),
    ) -> None:
        self._settings = settings
        self._unplanned = unplanned  # of a plan that could not say their regions
        self._errands = tuple(errands)
        self._asking = tuple(one.account.id for one in self._errands if one.asks)
        self._known = sum(len(one.targets()) for one in self._errands if not one.asks)
        self._noted: dict[str, tuple[str | None, ...]] = {}  # regions that the journal knew
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
            try:
                if kind is not None:
                    driver.stop("interrupted")
                driver.finish(failed=kind is not None)
            except KeyboardInterrupt:
                if kind is not None:
                    raise
                driver.stop("interrupted")  # it is the first one
                driver.finish()
                raise
        except KeyboardInterrupt:
            if not driver.is_over:  # the second one: no more waiting
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
        if settings.journal is not None and settings.job is None and not is_known_by_name(function):
            raise ConfigError(
                f"{name_of(function)} has no name of its own, by which the journal would tell its "
                "work from others'",
                hint="give fan_out a job= beside the journal=, or map a function of a module",
            )
        tally = Tally(settings.tolerance)
        start = self._starter(work)
        journal = None
        if settings.journal is not None:
            job = settings.job or name_of(function)
            journal = Journal.open(settings.journal, job=self._job(job))
        try:
            errands = self._errands
            if journal is not None:
                left = _without_done(errands, journal, tally, self._noted, clock=settings.clock)
                errands = tuple(left)
            self._driver = start(errands, tally, journal)
        except BaseException:
            if journal is not None:
                journal.close()
            raise
        if self._stopped:
            self._driver.stop("interrupted")
        try:
            self._driver.start()
        except RuntimeError:  # the system gives no more threads
            self._driver = None
            if journal is not None:
                journal.close()
            raise
        except BaseException:  # Ctrl-C: nothing is to go on behind its back
            self._driver.kill()
            self._driver.finish(failed=True)
            raise
        return Outcomes(self._driver.stream())

    def plan(self, *, missing: bool = False) -> Plan:
        """Return all targets: accounts with their regions and roles. Nothing is run.

        Where regions are ``"enabled"``, each account's role is assumed, and EC2 asked.

        Args:
            missing: Leave out what the journal says is done. It goes by the *job* of `fan_out`.

        Raises:
            ConfigError: the journal cannot be read, or *missing* has none, or no *job*.
        """
        done = self._done() if missing else None
        failed: list[Outcome] = []
        found: dict[str, tuple[str, ...]] = {}
        asking = [errand for errand in self._errands if errand.asks]
        if asking:
            settings = self._settings
            crew = Crew(
                asking,
                None,
                self._warm(asking),
                settings.limits(settings.max_workers),
                clock=settings.clock,
                tally=Tally(None),
            )
            crew.start()
            try:
                failed = [outcome for outcome in crew.stream() if not outcome.ok]
            except BaseException:  # Ctrl-C: nothing is to go on behind its back
                crew.kill()
                crew.finish()
                raise
            found = crew.found
            failed += [_not_asked(target, settings.clock) for target in crew.not_run]
        lost = {outcome.account.id for outcome in failed}
        return Plan(
            targets=tuple(
                named
                for errand in self._errands
                if errand.account.id not in lost
                for target, named in zip(
                    errand.targets(found.get(errand.account.id)),
                    self._named(errand).targets(found.get(errand.account.id)),
                    strict=True,
                )
                if done is None or not done.is_done(target)
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
        found = Summary() if self._driver is None else self._driver.summary
        return replace(found, not_run=found.not_run + self._unplanned)

    @property
    def targets(self) -> int:
        """How many targets there are, as far as it is known: ``"enabled"`` adds to it."""
        found = self._noted | ({} if self._driver is None else self._driver.found)
        # An account whose regions are not known yet is one thing that is to be done.
        return self._known + sum(len(found.get(id, (None,))) for id in self._asking)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts, in the order they are begun."""
        return tuple(errand.account for errand in self._errands)

    def _named(self, errand: Errand) -> Errand:
        """Return *errand* with the session's region by its name, to which a plan holds its run."""
        region = botocore_session(self._settings.base).get_config_variable("region")
        if errand.regions != (None,) or errand.way.parent is not None or not region:
            return errand
        return replace(errand, regions=(region,))

    def _done(self) -> Journal:
        """Return what the journal says, to look at only."""
        path, job = self._settings.journal, self._settings.job
        if path is None or job is None:
            raise ConfigError(
                "which targets are missing is not known without a journal, and the name of its job",
                hint="give fan_out a journal= and a job=",
            )
        return Journal.read(path, job=self._job(job))

    def _job(self, job: str) -> str:
        """Return what the journal calls the work that the user calls *job*."""
        # In a region that no target names: with another one it is another job.
        region = botocore_session(self._settings.base).get_config_variable("region")
        own = any(None in (errand.known or ()) for errand in self._errands)
        return f"{job} in {region}" if own and region else job

    def _starter(self, work: Work) -> Callable[[Sequence[Errand], Tally, Journal | None], Driver]:
        """Check all that may be wrong with how *work* is to be run; return what runs it."""
        settings, clock = self._settings, self._settings.clock
        executor = settings.executor
        ends = settings.deadline

        def until() -> float | None:
            return None if ends is None else clock.boottime() + ends

        if executor is None:
            opener, limits = self._warm(self._errands), settings.limits(settings.max_workers)
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
            here = Here(self._warm(self._errands), work, settings.limits(1), clock)
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
            sts_client_kwargs=roomy(settings.sts_client_kwargs, limits.threads),
            openings={**settings.openings, "store": travelling_cache(settings.store)},
            store=travelling_cache(settings.store),
            rate=settings.sts_rate,
        )
        return packed_bytes(common, "the function", _HINT)

    def _opener(self) -> Opener:
        settings = self._settings
        recipe = Recipe(
            policy=settings.policy,
            sts_client_kwargs=roomy(settings.sts_client_kwargs, settings.max_workers),
            cache=settings.store,
            clock=settings.clock,
            pace=Pace(settings.sts_rate, clock=settings.clock),
        )
        openings = {**settings.openings, "clock": settings.clock}
        return Opener(settings.base, recipe=recipe, openings=openings)

    def _warm(self, errands: Iterable[Errand]) -> Opener:
        """Return what opens sessions, with the credentials that roles are assumed with.

        They are fetched here, where a person may be asked for a code.
        """
        opener = self._opener()
        for parent in {errand.way.parent: None for errand in errands}:
            session = botocore_session(opener.parent(parent))
            load_credentials(session).get_frozen_credentials()
        return opener


def _not_asked(target: Target, clock: Clock) -> Outcome:
    """Return what a plan says of an account whose regions nobody was left to ask for."""
    message = "its regions were not asked for: too many other accounts did not answer"
    return Outcome(
        target=target,
        error=Failure(kind="timeout", type="NotAsked", code=None, message=message),
        started=datetime.fromtimestamp(clock.time(), timezone.utc),
        elapsed=timedelta(0),
    )


def _nothing() -> None:
    """Return what stands for a session that no chain starts from."""


def _without_done(
    errands: Iterable[Errand],
    journal: Journal,
    tally: Tally,
    noted: dict[str, tuple[str | None, ...]],
    *,
    clock: Clock,
) -> Iterator[Errand]:
    """Yield *errands* without what *journal* says is done; fill *noted* with regions it knew."""
    since = datetime.fromtimestamp(clock.time(), timezone.utc) - _REGIONS_LAST
    for errand in errands:
        regions = errand.known
        if errand.asks:
            regions = journal.regions_of(errand.account.id, errand.role, since=since)
            if regions is not None:
                noted[errand.account.id] = regions
        if regions is None:
            known: Iterable[str | None] = (
                journal.regions_of(errand.account.id, errand.role, since=_EVER) or ()
            )
            done = frozenset(one for one in known if journal.is_done(errand.at(one)))
            yield replace(errand, done=done)
            continue
        done = frozenset(one for one in regions if journal.is_done(errand.at(one)))
        tally.skipped += len(done)
        if len(done) < len(regions):
            yield replace(errand, regions=tuple(regions), done=done)
