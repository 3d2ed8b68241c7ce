"""What a child process is given to be a role by the endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .environment import child_environment, unshadowed
from .private_files import private_directory, write
from .server import Endpoint


@contextmanager
def serving_child(
    endpoint: Endpoint, name: str, environ: Mapping[str, str], region: str | None
) -> Iterator[dict[str, str]]:
    """Give the environment of a child that is the role *name* of *endpoint*.

    Raises:
        ConfigError: its files cannot be made, or its default profile would win.
    """
    with private_directory(environ) as folder:
        # Old Go tools know only the variable, Rust's only the file. The same in both, so that it
        # does not matter which a program takes first; and no newline, which most would send.
        token = folder / "token"
        write(token, endpoint.tokens[name])
        variables = {
            **endpoint.variables(name),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        child = child_environment(environ, name=name, variables=variables, region=region)
        yield unshadowed(child, folder)
