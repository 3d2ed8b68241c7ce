"""Handlers of aiobotocore's events: as those of a boto3 session, but they hold up no loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import Unreachable
from ...refresh.aio import AsyncRefresher, until_done
from ..presign import Presigning, asked_lifetime
from ..rejections import Rejections


class AioRejections(Rejections):
    """Watches the calls of one asynchronous session's clients."""

    async def needs_retry(  # type: ignore[override]  # aiobotocore awaits what a handler returns
        self, response: Any, request_dict: Mapping[str, Any] | None = None, **_: Any
    ) -> int | None:
        """Return 0 (retry at once) if a rejected key could be replaced; None: not our matter."""
        rejected = self.rejected(response, request_dict)
        if rejected is None:
            return None
        try:
            if rejected.flying is not None:
                flight, seconds = rejected.flying
                await until_done(flight.future, seconds, rejected.refresher.clock)
                if not flight.future.done():
                    raise Unreachable("the key that is on its way has not come")
            fetched = await AsyncRefresher(rejected.refresher).get()
        except Exception:  # the service's own answer is the better one then
            self.not_replaced(rejected)
            return None
        except BaseException:  # who does not wait must not cost all others a key that may be good
            self.not_replaced(rejected)
            raise
        return self.replaced(rejected, fetched.access_key)


class AioPresigning(Presigning):
    """Wraps the presigning methods of one asynchronous session's clients."""

    ADVICE = "await (await session.get_credentials()).ensure_valid_for(…)"

    def watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return *method* with a look at what it has signed."""

        @functools.wraps(method)
        async def presign(client: Any, *arguments: Any, **keywords: Any) -> Any:
            signed = await method(client, *arguments, **keywords)
            self.warn(signed, asked_lifetime(method.__name__, arguments, keywords))
            return signed

        return presign
