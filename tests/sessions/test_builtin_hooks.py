"""A session of ours has the very handlers that botocore gives its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore import handlers
from botocore.hooks import HierarchicalEmitter
from botocore.session import Session

from rolecall.sessions.hooks import builtin_hooks


def _handlers(emitter: HierarchicalEmitter, event: str) -> list[object]:
    return list(emitter._handlers.prefix_search(event))


def _botocores() -> HierarchicalEmitter:
    emitter: HierarchicalEmitter = Session()._events._emitter
    return emitter


@pytest.fixture
def one_more() -> Iterator[object]:
    def handler(**_: object) -> None: ...

    added = ("before-send.s3", handler)
    handlers.BUILTIN_HANDLERS.append(added)
    yield handler
    handlers.BUILTIN_HANDLERS.remove(added)


def test_each_event_meets_the_same_handlers_in_the_same_order() -> None:
    ours, theirs = builtin_hooks(), _botocores()
    events = {theirs_event for theirs_event, *_ in handlers.BUILTIN_HANDLERS}
    # As botocore itself emits them, under the names that services have now.
    events |= {f"{event}.SomeOperation" for event in events}

    differing = [event for event in events if _handlers(ours, event) != _handlers(theirs, event)]

    assert differing == []
    assert any(_handlers(ours, event) for event in events)


def test_what_one_session_registers_is_no_other_s() -> None:
    def handler(**_: object) -> None: ...

    one, other = builtin_hooks(), builtin_hooks()
    one.register("before-call.s3", handler)

    assert handler in _handlers(one, "before-call.s3")
    assert handler not in _handlers(other, "before-call.s3")
    assert handler not in _handlers(builtin_hooks(), "before-call.s3")


def test_a_library_that_adds_its_own_later_is_heeded(one_more: object) -> None:
    assert one_more in _handlers(builtin_hooks(), "before-send.s3.ListBuckets")


def test_what_a_library_takes_away_again_is_gone() -> None:
    def handler(**_: object) -> None: ...

    handlers.BUILTIN_HANDLERS.append(("before-send.s3", handler))
    builtin_hooks()
    handlers.BUILTIN_HANDLERS.pop()

    assert handler not in _handlers(builtin_hooks(), "before-send.s3.ListBuckets")
