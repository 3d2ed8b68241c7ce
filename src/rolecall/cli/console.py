"""``rolecall console ROLE``: a link that signs a browser in as a role."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from .parameters import asked, json_option, role_argument, role_options, verbose_option

_DURATION = "how long the console stays signed in: 15m to 12h (default: as long as the session)"

#: For so long a link is good, and a slow browser may read the page that leads to it.
_SECONDS = 15 * 60

_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>AWS console</title>
<a href="{url}">Sign in</a>
"""


@click.command("console")
@role_argument()
@role_options()
@click.option("--service", metavar="NAME", help="Open the console of a service, such as s3.")
@click.option("--destination", metavar="URL", help="Open this page of the console: a path or URL.")
@click.option("--open", "open_", is_flag=True, help="Open it in a browser, and do not print it.")
@click.option(
    "--signin-endpoint", metavar="URL", help="Where the keys are sent instead of AWS's own host."
)
@json_option
@verbose_option
def command(
    role: str,
    service: str | None,
    destination: str | None,
    open_: bool,
    signin_endpoint: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Print a link that signs a browser in as a role.

    The link is good for some 15 minutes, and whoever has it is the role until the session ends:
    keep it as you keep keys.

    \b
      rolecall console deploy --service s3 --open
      rolecall console deploy --destination /cloudwatch/home
    """
    from .printed import iso, local_end, print_json

    environ = os.environ  # noqa: TID251 - border
    duration = values.pop("duration")
    options = {"service": service, "destination": destination, "endpoint_url": signin_endpoint}
    named, url = _signed_in(role, {**values, "duration": None}, duration, options, environ)
    if as_json:
        from ..sessions.handing import handing

        credentials = handing(named.session, own=True).get()
        print_json(
            {
                "url": url,
                "role_arn": named.role_arn,
                "session_expires_at": iso(local_end(credentials)),
            }
        )
    elif not open_:
        click.echo(url)
    if open_:
        _open(url, environ)


for _parameter in command.params:
    if isinstance(_parameter, click.Option) and _parameter.name == "duration":
        # One word for one thing, elsewhere: here the console's session is what one asks for.
        _parameter.help = _DURATION


def _signed_in(
    role: str,
    values: dict[str, Any],
    duration: str | None,
    options: Mapping[str, str | None],
    environ: Mapping[str, str],
) -> tuple[Any, str]:
    from ..console import sign_in_url
    from ..spans import span
    from .naming import open_named

    try:
        length = None if duration is None else span(duration)
    except ValueError as error:
        raise click.UsageError(f"--duration {error}") from None
    named = open_named(asked(role, values), environ)
    wrong = ""
    try:
        return named, sign_in_url(
            named.session, duration=length, region=named.asked.region, **options
        )
    except ValueError as error:
        wrong = str(error).replace("endpoint_url", "--signin-endpoint")
    raise click.UsageError(wrong)


def _open(url: str, environ: Mapping[str, str]) -> None:
    """Open *url* in a browser, which does not get it as one of its words.

    Those are shown to every user of the machine, and a link is as good as a session. So a page
    that leads to it goes into a file that nobody else can read; a server on loopback would answer
    whoever asks it first. The file stays behind, for nobody can tell when the browser has read it:
    a later rolecall that needs such a directory deletes it, and the link ends by itself.
    """
    import webbrowser
    from html import escape

    from ..endpoint.private_files import make_private_directory, write
    from .endings import REFUSED, say

    page = make_private_directory(environ, kept_for=_SECONDS) / "console.html"
    write(page, _PAGE.format(url=escape(url, quote=True)))
    opened = False
    try:
        opened = webbrowser.open(page.as_uri())
    finally:
        if not opened:
            page.unlink(missing_ok=True)
            page.parent.rmdir()
    if not opened:
        say("no browser could be opened\n  hint: leave out --open, and open the link yourself")
        raise click.exceptions.Exit(REFUSED)
    say("opened in the browser")
