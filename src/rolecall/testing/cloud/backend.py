"""moto: the state of all the services; the only module here that knows it.

moto keeps its state in module globals, so one `Backend` at a time may hold it in a process.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

from .answers import Answer
from .keys import Key, Principal, fake_id

_held = threading.Lock()  # by the backend that has moto's state

#: moto would answer every request from this account if the variable is set.
_FORCED_ACCOUNT = "MOTO_ACCOUNT_ID"


class Backend:
    """moto's services, fresh, until `close`."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        if not _held.acquire(blocking=False):
            raise RuntimeError(
                "another StrictCloud is running in this process, and moto has only one state: "
                "stop that one first"
            )
        try:
            # moto reads the process's environment, so that is what has to change.
            self._environ = os.environ if environ is None else environ  # noqa: TID251 - border
            self._app = _dispatcher()
            self._forced_account = self._environ.pop(_FORCED_ACCOUNT, None)
            _reset()
        except BaseException:
            _held.release()
            raise
        self._open = True

    def close(self) -> None:
        """Forget all state and let another backend have moto."""
        if not self._open:
            return
        self._open = False
        _reset()
        if self._forced_account is not None:
            self._environ[_FORCED_ACCOUNT] = self._forced_account
        _held.release()

    def answer(self, environ: dict[str, Any]) -> Answer:
        """Return moto's answer to the request of a WSGI *environ*."""
        began: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> None:
            began[:] = [(status, headers)]

        chunks = self._app(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        status, headers = began[0]
        return Answer(status=int(status[:3]), headers=tuple(headers), body=body)

    def long_term_key(self, access_key: str) -> Key | None:
        """Return the active key of an IAM user, as moto's IAM has it now."""
        for account, partition, iam in self._all_iam():
            key = iam.access_keys.get(access_key)
            user = iam.users.get(key.user_name) if key is not None and key.user_name else None
            if user is not None and key.status == "Active":
                return Key(
                    access_key=access_key,
                    secret_key=key.secret_access_key,
                    principal=Principal(
                        kind="user",
                        account=account,
                        arn=user.arn,
                        user_id=user.id,
                        partition=partition,
                    ),
                )
        return None

    def role_facts(self, role_arn: str) -> tuple[str, int] | None:
        """Return id and MaxSessionDuration (seconds) of a role; None: it was never created."""
        for _, _, iam in self._all_iam():
            for role in list(iam.roles.values()):
                if role.arn == role_arn:
                    return role.id, int(role.max_session_duration or 3600)
        return None

    def user_key(self, name: str, account: str, partition: str) -> Key:
        """Create the IAM user if there is none of that *name*, and return a new key of theirs."""
        iam = self._iam(account, partition)
        if name not in iam.users:
            iam.create_user(_region(partition), name)
            iam.users[name].id = fake_id("AIDA")
        key = iam.users[name].create_access_key(prefix="AKIA")
        key.access_key_id = fake_id("AKIA")
        key.secret_access_key = f"fake-secret-{fake_id('USER')}"
        iam.access_keys[key.access_key_id] = key
        found = self.long_term_key(key.access_key_id)
        assert found is not None
        return found

    def create_role(
        self, name: str, account: str, partition: str, path: str, max_duration: timedelta
    ) -> str:
        """Create a role, or change the one of that *name*, and return its ARN."""
        iam = self._iam(account, partition)
        seconds = int(max_duration.total_seconds())
        for role in list(iam.roles.values()):
            if role.name == name:
                role.max_session_duration = seconds
                return str(role.arn)
        anyone = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(
            role_name=name,
            assume_role_policy_document=json.dumps(
                {"Version": "2012-10-17", "Statement": [anyone]}
            ),
            path=path,
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration=seconds,
        )
        return str(role.arn)

    @staticmethod
    def _iam(account: str, partition: str) -> Any:
        from moto.backends import get_backend

        return get_backend("iam")[account][partition]

    @staticmethod
    def _all_iam() -> Iterator[tuple[str, str, Any]]:
        from moto.backends import get_backend

        for account, partitions in list(get_backend("iam").items()):
            for partition, iam in list(partitions.items()):
                yield account, partition, iam


def _region(partition: str) -> str:
    return {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}.get(partition, "us-east-1")


@lru_cache(maxsize=1)
def _dispatcher() -> Any:
    # Building a service's routes takes up to 100 ms and they hold no state: once per process.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


def _reset() -> None:
    from moto.core.base_backend import BackendDict
    from moto.core.model_instances import reset_model_data

    BackendDict.reset()
    reset_model_data()
