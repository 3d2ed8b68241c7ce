"""Where this program runs, as far as the environment tells: no file and no network is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LAMBDA = "Lambda"
GITHUB = "GitHub Actions"
GITLAB = "GitLab CI"
ECS = "ECS"
EKS = "EKS"
EC2 = "EC2"
WORKSTATION = "workstation"

_FARGATE_CONTAINER = re.compile(r"([0-9a-f]{32})-\d+")  # <task id>-<number of the container>
_INSTANCE_ID = re.compile(r"i-(?:[0-9a-f]{17}|[0-9a-f]{8})(?=\.|$)")
_GITHUB_RUN = ("GITHUB_REPOSITORY", "GITHUB_WORKFLOW", "GITHUB_RUN_ID")
_GITLAB_JOB = ("CI_PROJECT_PATH", "CI_JOB_ID")
_ECS_METADATA = ("ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI")
_POD_NAMESPACE = ("POD_NAMESPACE", "MY_POD_NAMESPACE", "NAMESPACE")
_POD_NAME = ("POD_NAME", "MY_POD_NAME", "HOSTNAME")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A place a program runs in, and what tells it from others there.

    Attributes:
        kind: One of this module's names, such as `LAMBDA`.
        parts: From the general to the particular, such as repository, workflow, run; never empty
            strings. What the environment does not tell is missing.
    """

    kind: str
    parts: tuple[str, ...]


def detect(environ: Mapping[str, str], *, host: str = "") -> Runtime:
    """Return where the program runs; the more particular place wins.

    A job of a self-hosted runner that is a pod on EKS is a job, as whoever reads CloudTrail would
    say. *host* is the pod's name where the environment does not have it.
    """
    if environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        return _runtime(LAMBDA, environ["AWS_LAMBDA_FUNCTION_NAME"])
    if environ.get("GITHUB_ACTIONS") == "true":
        return _runtime(GITHUB, *(environ.get(name, "") for name in _GITHUB_RUN))
    if environ.get("GITLAB_CI") == "true":
        return _runtime(GITLAB, *(environ.get(name, "") for name in _GITLAB_JOB))
    metadata = _first(environ, _ECS_METADATA)
    if metadata:
        return _runtime(ECS, _task_id(metadata))
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return _runtime(EKS, _first(environ, _POD_NAMESPACE), _first(environ, _POD_NAME) or host)
    for name in ("EC2_INSTANCE_ID", "INSTANCE_ID", "HOSTNAME"):
        instance = _INSTANCE_ID.match(environ.get(name, ""))
        if instance:
            return _runtime(EC2, instance[0])
    return _runtime(WORKSTATION)


def _runtime(kind: str, *parts: str) -> Runtime:
    return Runtime(kind, tuple(part for part in parts if part))


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _task_id(metadata_uri: str) -> str:
    """Return the task's id, or the container's where that is all there is (ECS on EC2)."""
    last = metadata_uri.rstrip("/").rpartition("/")[2]
    fargate = _FARGATE_CONTAINER.fullmatch(last)
    return fargate[1] if fargate else last
