"""``rolecall demo``: sessions that live through their rotations, on this machine alone."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

#: What the extra ``testing`` brings, by the names of their modules.
_EXTRA = ("cheroot", "moto")

_SECONDS, _LIFETIME = 18.0, 5.0


@click.command("demo")
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=_SECONDS,
    show_default=True,
    help="How long the sessions work.",
)
@click.option(
    "--lifetime",
    type=click.FloatRange(1, 3600),
    default=_LIFETIME,
    show_default=True,
    help="How many seconds credentials live.",
)
@click.option("--plain", is_flag=True, help="Lines of text, no picture.")
def command(seconds: float, lifetime: float, plain: bool) -> int:
    """Watch sessions live through their rotations, offline.

    An AWS on this machine lets every session die within seconds; rolecall renews them, and the
    same calls with plain keys fail. Nothing leaves the machine, no credentials are needed.

    \b
      rolecall demo
      rolecall demo --seconds 60 --lifetime 10
    """
    if not lifetime < seconds:  # nor if one is no number
        raise click.UsageError("--lifetime must be less than --seconds, or nothing expires")
    if not all(map(_is_there, _EXTRA)):
        from .endings import USAGE, say

        say("its demo is an extra: pipx install 'rolecall[cli,testing]'")
        return USAGE
    # Computed: the testing tools stand beside the command line, not below it.
    main = import_module(f"{__package__.partition('.')[0]}.testing.demo").main
    words = [f"--seconds={seconds:g}", f"--lifetime={lifetime:g}", *(["--plain"] if plain else [])]
    code: int = main(words)
    return code


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a module that was put there by hand
        return True
