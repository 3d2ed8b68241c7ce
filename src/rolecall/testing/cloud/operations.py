"""Which operation a REST request asks for, by the service model that botocore carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from .request import S3_NAMES, Request

_LABEL = re.compile(r"\{(\w+)(\+?)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """One operation: what its requests look like.

    Attributes:
        query: What the query string must hold; an empty value stands for any.
        headers: Headers that must be there.
        weight: The more a route asks for, the sooner it is meant.
    """

    operation: str
    method: str
    path: re.Pattern[str]
    query: Mapping[str, str]
    headers: frozenset[str]
    weight: tuple[int, int]

    def fits(self, request: Request, query: Mapping[str, str]) -> bool:
        return (
            request.method == self.method
            and self.path.fullmatch(request.path) is not None
            and all(
                name in query and value in ("", query[name]) for name, value in self.query.items()
            )
            and self.headers <= request.headers.keys()
        )


def rest_operation(request: Request) -> str | None:
    """Return the API's name of what *request* asks for; None: botocore does not know it."""
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    for route in _routes("s3" if request.service in S3_NAMES else request.service):
        if route.fits(request, query):
            return route.operation
    return None


@lru_cache(maxsize=32)
def _routes(service: str) -> tuple[_Route, ...]:
    from botocore.exceptions import UnknownServiceError
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    try:
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    except UnknownServiceError:
        return ()
    routes = [_route(model.operation_model(name)) for name in model.operation_names]
    return tuple(sorted(routes, key=lambda route: route.weight, reverse=True))


def _route(operation: Any) -> _Route:
    path, _, literal = str(operation.http["requestUri"]).partition("?")
    query = dict(parse_qsl(literal, keep_blank_values=True))
    headers = set()
    shape = operation.input_shape
    for name in shape.required_members if shape is not None else ():
        where = shape.members[name].serialization
        if where.get("location") == "querystring":
            query.setdefault(where["name"], "")
        elif where.get("location") == "header":
            headers.add(str(where["name"]).lower())
    return _Route(
        operation=operation.name,
        method=operation.http["method"],
        path=_pattern(path),
        query=query,
        headers=frozenset(headers),
        weight=(len(query) + len(headers), len(_LABEL.sub("", path))),
    )


def _pattern(path: str) -> re.Pattern[str]:
    parts = []
    end = 0
    for label in _LABEL.finditer(path):
        parts += [re.escape(path[end : label.start()]), ".+" if label[2] else "[^/]+"]
        end = label.end()
    return re.compile("".join([*parts, re.escape(path[end:]).rstrip("/"), "/?"]), re.DOTALL)
