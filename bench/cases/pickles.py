"""What a worker process has to be sent so that it can work as a role."""

from __future__ import annotations

import pickle

from ..benchmark import ROLECALL, Ask, Benchmark, Measure, Value, at_most
from ..libraries import open_role, warm_up

_HUB = "arn:aws:iam::123456789012:role/Hub"
_SPOKE = "arn:aws:iam::210987654321:role/Reader"

#: Two ARNs and a profile's name are half of it.
_SOME_200_BYTES = 250

BENCHMARK = Benchmark(
    title="Pickles",
    about="The chain profile → hub → spoke, and the session of the spoke. rolecall sends what to "
    "assume and never keys.",
    measures=(
        Measure(
            key="chain",
            title="chain",
            unit="bytes",
            target=at_most(_SOME_200_BYTES, f"some 200: ≤ {_SOME_200_BYTES}"),
        ),
        Measure(key="session", title="session", unit="bytes"),
    ),
    rounds=1,
    size={},
)


def measure(library: str, ask: Ask) -> dict[str, Value]:
    """Return sizes in bytes, or the exception that pickling raises."""
    parent = warm_up(library)
    hub = open_role(library, parent, _HUB)
    session = open_role(library, hub, _SPOKE)
    found: dict[str, Value] = {"session": _size(session)}
    if library == ROLECALL:
        import rolecall

        chain = rolecall.RoleChain(
            rolecall.Profile("hub"), rolecall.Role(arn=_HUB), rolecall.Role(arn=_SPOKE)
        )
        found["chain"] = _size(chain)
    return found


def _size(value: object) -> Value:
    try:
        return len(pickle.dumps(value))
    except Exception as error:  # that is the answer
        return type(error).__name__
