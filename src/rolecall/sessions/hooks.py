"""botocore's own event handlers, registered once and copied for each session.

To register them one by one is most of what a new session costs: 8 of 9 ms.
"""

from __future__ import annotations

import copy
from typing import Any

from botocore import handlers
from botocore.hooks import EventAliaser, HierarchicalEmitter

# What they were made of, and they; one object, so that a thread sees both or neither.
_made: tuple[list[Any], HierarchicalEmitter] | None = None


def builtin_hooks() -> HierarchicalEmitter:
    """Return an emitter with all handlers that botocore gives a new session, for one session."""
    global _made
    made = _made
    # Some libraries add their own to the list, moto for one.
    if made is None or made[0] != handlers.BUILTIN_HANDLERS:
        specs = list(handlers.BUILTIN_HANDLERS)
        made = _made = specs, _registered(specs)
    copied: HierarchicalEmitter = copy.copy(made[1])
    return copied


def _registered(specs: list[Any]) -> HierarchicalEmitter:
    emitter = HierarchicalEmitter()
    # Through this as a session does it: it knows events by the names that services once had.
    aliaser = EventAliaser(emitter)
    ways = {
        handlers.REGISTER_FIRST: aliaser.register_first,
        handlers.REGISTER_LAST: aliaser.register_last,
    }
    for event, handler, *way in specs:
        (ways[way[0]] if way else aliaser.register)(event, handler)
    return emitter
