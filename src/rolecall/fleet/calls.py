"""API calls by name: all pages of one, and what is wrong with one before it is made."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore import xform_name
from botocore.exceptions import DataNotFoundError
from botocore.model import OperationModel, ServiceModel
from botocore.response import StreamingBody
from botocore.validate import ParamValidator

from ..sources.quote import redact
from ..sources.upstream import botocore_session

#: A body larger than this does not belong into a table.
MOST_BODY_BYTES = 16 * 1024 * 1024

_METADATA = "ResponseMetadata"
_PAGING = "PaginationConfig"
#: What botocore adds where it is required and missing. [botocore.handlers]
_ADDED = {"glacier": {"accountId"}, "s3control": {"AccountId"}}
#: As long as botocore's own idempotency tokens: some have a shortest length.
_ADDED_TOKEN = "00000000-0000-4000-8000-000000000000"
#: The AWS CLI's names for services that botocore calls otherwise.
_CLI_NAMES = {"s3api": "s3", "configservice": "config", "deploy": "codedeploy"}


def paginate(
    client: Any, operation: str, query: str | None = None, **arguments: Any
) -> Iterator[Any]:
    """Return an iterator over what *query* finds in each page of an operation's answer.

    ::

        for found in paginate(client, "list_objects_v2", "Contents[]", Bucket="logs"):

    Args:
        operation: In any spelling: ``list_objects_v2``, ``ListObjectsV2``, ``list-objects-v2``. One
            that has no pages gives its one answer the same way.
        query: JMESPath. A list it finds is gone through; where it finds nothing, nothing comes.
            None: whole pages, without ``ResponseMetadata``.
        arguments: Of the operation; ``PaginationConfig`` for one that has pages.

    Raises:
        ValueError: there is no such operation, or *query* is no JMESPath: at the call, not later.
    """
    problems: list[str] = []
    method = _method(client, operation, problems)
    search = _search(query, problems)
    _refuse(problems)
    return _found(client, method, search, arguments)


def _found(client: Any, method: str, search: Any, arguments: Mapping[str, Any]) -> Iterator[Any]:
    if client.can_paginate(method):
        pages = client.get_paginator(method).paginate(**arguments)
    else:
        pages = (getattr(client, method)(**arguments),)
    for page in pages:
        answer = {name: part for name, part in page.items() if name != _METADATA}
        found = answer if search is None else search(answer)
        if isinstance(found, list):
            yield from found
        elif found is not None:
            yield found


def call(
    session: Any,
    service: str,
    operation: str,
    arguments: Mapping[str, Any] | None = None,
    query: str | None = None,
) -> Any:
    """Make one API call through all its pages and return the answer, or what *query* finds in it.

    The pages' lists are joined, and ``ResponseMetadata`` is left out. A body that comes as a stream
    is read: as text if it is UTF-8, or else bytes.

    Args:
        session: A `boto3.Session`.
        query: JMESPath, applied to the whole answer.

    Raises:
        ValueError: a name or *query* is wrong (`check_call` says so beforehand), the operation
            answers with events that never end, or a body has more than 16 MiB.
    """
    problems: list[str] = []
    search = _search(query, problems)
    if service not in session.get_available_services():
        problems.append(_no_service(service, session.get_available_services()))
    _refuse(problems)
    client = session.client(service)
    method = _method(client, operation, problems)
    _refuse(problems)
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    _refuse(_events(model))
    if client.can_paginate(method):
        paginator = client.get_paginator(method)
        answer = paginator.paginate(**(arguments or {})).build_full_result()
    else:
        answer = getattr(client, method)(**(arguments or {}))
    whole = {name: _read(name, part) for name, part in answer.items() if name != _METADATA}
    return whole if search is None else search(whole)


def _read(name: str, part: Any) -> Any:
    if not isinstance(part, StreamingBody):
        return part
    with part:
        body = part.read(MOST_BODY_BYTES + 1)
    if len(body) > MOST_BODY_BYTES:
        raise ValueError(f"{name} has more than {MOST_BODY_BYTES} bytes: call it in a function")
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def check_call(
    session_or_loader: Any,
    service: str,
    operation: str,
    query: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """Say what is wrong with a call before it is made anywhere; nobody is asked.

    Args:
        session_or_loader: A session, or botocore's loader of service models.

    Raises:
        ValueError: all that is wrong: names (with what is close to them), *query*, and *arguments*
            that are unknown, missing or of a wrong type.
    """
    loader = session_or_loader
    if not hasattr(loader, "load_service_model"):
        loader = botocore_session(session_or_loader).get_component("data_loader")
    problems: list[str] = []
    _search(query, problems)
    services = loader.list_available_services("service-2")
    if service not in services:
        problems.append(_no_service(service, services))
        _refuse(problems)
    model = ServiceModel(loader.load_service_model(service, "service-2"), service_name=service)
    names = {xform_name(name): name for name in model.operation_names}
    method = _matching(operation, names)
    if method is None:
        problems.append(_no_operation(service, operation, names))
    else:
        operation_model = model.operation_model(names[method])
        problems += _events(operation_model)
        pages = _has_pages(loader, service, names[method])
        problems += _wrong_arguments(operation_model, dict(arguments or {}), service, pages)
    _refuse(problems)


def _wrong_arguments(
    model: OperationModel, given: dict[str, Any], service: str, pages: bool
) -> Iterator[str]:
    shape = model.input_shape
    members = {} if shape is None else shape.members
    if pages:
        paging = given.pop(_PAGING, {})
        if not isinstance(paging, Mapping):
            yield f"{_PAGING} is a mapping, got {type(paging).__name__}"
    for name in [name for name in given if name not in members]:
        # Here and not by botocore, which lists all that could be meant.
        del given[name]
        yield f"{model.name} has no argument {name!r}" + _close(name, members)
    if shape is None:
        return
    for name in {*model.idempotent_members, *_ADDED.get(service, ())} & {*shape.required_members}:
        given.setdefault(name, _ADDED_TOKEN)
    report = ParamValidator().validate(given, shape)
    if report.has_errors():
        # It shows values of the wrong type.
        yield from redact(report.generate_report()).splitlines()


def _has_pages(loader: Any, service: str, name: str) -> bool:
    try:
        return name in loader.load_service_model(service, "paginators-1")["pagination"]
    except DataNotFoundError:
        return False


def _events(model: OperationModel) -> list[str]:
    if model.has_event_stream_output:
        return [f"{model.name} answers with a stream of events: call it in a function"]
    return []


def _search(query: str | None, problems: list[str]) -> Any:
    """Return what searches by *query*; None where there is none."""
    import jmespath
    import jmespath.exceptions

    if query is None:
        return None
    if not isinstance(query, str):
        raise TypeError(f"query is JMESPath text, got {type(query).__name__}")
    try:
        return jmespath.compile(query).search
    except jmespath.exceptions.JMESPathError as error:
        said = " ".join(str(error).split())
        problems.append(f"query {query!r} is no JMESPath: {said}")
        return None


def _method(client: Any, operation: str, problems: list[str]) -> str:
    names = client.meta.method_to_api_mapping
    found = _matching(operation, names)
    if found is None:
        service = client.meta.service_model.service_name
        problems.append(_no_operation(service, operation, names))
    return found or ""


def _matching(operation: str, names: Iterable[str]) -> str | None:
    if not isinstance(operation, str):
        raise TypeError(f"an operation is named by a str, got {type(operation).__name__}")
    wanted = _letters(operation)
    return next((name for name in names if _letters(name) == wanted), None)


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _no_operation(service: str, operation: str, names: Iterable[str]) -> str:
    spelled = xform_name(operation.replace("-", "_"))
    return f"{service} has no operation {operation!r}" + _close(spelled, names)


def _no_service(service: str, services: Iterable[str]) -> str:
    known = _CLI_NAMES.get(str(service))
    near = f": {known}?" if known else _close(str(service), services)
    return f"there is no service {service!r}" + near


def _close(name: str, names: Iterable[str]) -> str:
    """Return which of *names* may be meant, as the end of a sentence."""
    by_letters = {_letters(one): one for one in names}
    near = difflib.get_close_matches(_letters(name), by_letters, 3)
    return ": " + ", ".join(by_letters[one] for one in near) + "?" if near else ""


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ValueError("; ".join(problems))
