"""``rolecall credential-process`` among click's commands, for its help and for completion."""

from __future__ import annotations

import click

from .parameters import complete_process

_EVERYTHING = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@click.command("credential-process", context_settings=_EVERYTHING, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, shell_complete=complete_process)
def command(words: tuple[str, ...]) -> int:
    """Print credentials for a profile's credential_process."""
    from .credential_process import main

    return main(words)
