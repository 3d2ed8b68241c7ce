"""What a benchmark is: libraries, measures, and the targets they are held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

ROLECALL = "rolecall"
AARL = "aws-assume-role-lib"
BRS = "boto3-refresh-session"
B3A = "boto3-assume"
BOTOCORE = "botocore"

#: In the order of the columns.
LIBRARIES = (ROLECALL, AARL, BRS, B3A, BOTOCORE)
PEERS = (AARL, BRS, B3A)

AIOBOTOCORE = "aiobotocore"
AIO_ASSUME = "aioboto3-assume"

#: Those of asyncio. They run in an environment of their own.
AIO_LIBRARIES = (ROLECALL, AIOBOTOCORE, AIO_ASSUME)

COVE = "botocove"
#: The loop that programs write themselves.
AARL_THREADS = f"{AARL} threads"
#: The fastest that programs write: one client of STS for all threads.
BOTOCORE_CLIENT = f"{BOTOCORE} STS client"

#: Those that go over many accounts.
FLEET_LIBRARIES = (ROLECALL, COVE, AARL_THREADS)

#: A library with a store of its is a column, too. The library's name comes first.
ROLECALL_MEMORY = f"{ROLECALL} memory"
ROLECALL_FILE = f"{ROLECALL} file"
ROLECALL_REDIS = f"{ROLECALL} Redis"
AARL_CACHE = f"{AARL} JSONFileCache"
BOTOCORE_CACHE = f"{BOTOCORE} JSONFileCache"

#: A number; or a few words where there is none, such as the name of an exception.
Value = float | str

#: Column → value of one measure.
Row = Mapping[str, Value]


def library_of(column: str) -> str:
    """Return the library that is measured in *column*, with whichever store."""
    return column.partition(" ")[0]


def ours(row: Row) -> list[Value]:
    """Return rolecall's values, with whichever store."""
    return [value for column, value in row.items() if library_of(column) == ROLECALL]


class Ask(Protocol):
    """How a library that is being measured has the stage set for what comes next."""

    def __call__(self, scene: str, *arguments: Any) -> Any:
        """Have *scene* done in the process that plays AWS, and return what it answers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What rolecall has promised.

    Attributes:
        text: As the page shows it.
        met: Decides on a row.
        is_count: Whether it is about a count. Counts are the same on every machine, so a missed
            one fails the run; a time does not.
    """

    text: str
    met: Callable[[Row], bool]
    is_count: bool


def exactly(count: int) -> Target:
    """Return the target that rolecall's count is *count*, with every store."""
    return Target(
        text=f"{count}", met=lambda row: all(one == count for one in ours(row)), is_count=True
    )


def at_most(count: float, text: str | None = None) -> Target:
    """Return the target that rolecall's count is *count* or less."""

    def met(row: Row) -> bool:
        return all(not isinstance(one, str) and one <= count for one in ours(row))

    return Target(text=text or f"≤ {count:g}", met=met, is_count=True)


def share_of(library: str, part: int) -> Target:
    """Return the target that rolecall needs at most one *part* th of what *library* needs."""

    def met(row: Row) -> bool:
        theirs = row.get(library, "")
        if isinstance(theirs, str):
            return False
        return all(not isinstance(one, str) and one * part <= theirs for one in ours(row))

    return Target(text=f"≤ 1/{part} of {library}", met=met, is_count=False)


def share_of_each(part: int, *libraries: str) -> Target:
    """Return the target that rolecall needs at most one *part* th of what each of them needs."""
    targets = [share_of(library, part) for library in libraries]
    return Target(
        text=f"≤ 1/{part} of each",
        met=lambda row: all(target.met(row) for target in targets),
        is_count=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row of a table.

    Attributes:
        key: What `measure` of the case calls it.
        unit: ``calls`` and other counts, ``s``, ``ms``, ``µs``, ``MB`` or ``bytes``.
        compared: Whether it is shown as a ratio to the reference's, too.
    """

    key: str
    title: str
    unit: str
    target: Target | None = None
    compared: bool = False

    @property
    def is_count(self) -> bool:
        """Whether it is the same on every machine."""
        return self.unit not in ("s", "ms", "µs", "MB")

    def of_rounds(self, values: list[Value]) -> Value:
        """Return what several rounds come to: the worst count, the median of anything else."""
        numbers = [value for value in values if not isinstance(value, str)]
        if len(numbers) < len(values):
            return next(value for value in values if isinstance(value, str))
        return max(numbers) if self.is_count else median(numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One question, asked of several libraries, each in a process of its own.

    Attributes:
        about: What is done and what matters in it, as the page tells it.
        libraries: Who is asked; for stores the columns of their table.
        reference: The column that the others are compared with.
        rounds: How often; the libraries take turns in another order each time.
        aio: Whether it is about asyncio, and so runs where aiobotocore is.
        size: What ``measure`` gets, by name.
        quick: The same at its smallest.
        scenes: What ``measure`` may ask of the process that plays AWS, besides what all may:
            ``leap``, ``sts``, ``recover``, ``redis``.
    """

    title: str
    about: str
    measures: tuple[Measure, ...]
    libraries: tuple[str, ...] = LIBRARIES
    reference: str = ROLECALL
    rounds: int = 3
    aio: bool = False
    size: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    scenes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its table: every library, asked or not; of stores those asked."""
        return LIBRARIES if set(self.libraries) <= set(LIBRARIES) else self.libraries
