"""Every command that the documentation tells its reader to type is typed, and does what it says.

How a page is read:

* ``sh`` and ``console`` blocks of the README and of ``docs/how-to`` are typed, in order, into one
  shell at a terminal, in the home of a user of a `StrictCloud`. ``$`` begins a command, ``>`` goes
  on with it; other lines of a ``console`` block are what it must print, where ``…`` is anything.
* ``ini`` blocks whose first line is ``# ~/.aws/config`` are that file; a profile at the end of a
  ``source_profile`` has a user's keys.
* Under ``<!-- in another terminal -->`` a command runs beside all others, until it is interrupted;
  under ``<!-- ends with 2 -->`` it must fail so.
* ``run`` of a workflow is run as GitHub's runner does. ``rolecall …`` in a line of prose or a table
  must be a command line that exists; those in the tables of ``migrate-from-…`` are run.

Programs that cannot run here have a stand-in, which asks STS who it is (`docs_world.stand_in`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docs_world import organization
from docs_world.commands import (
    TYPED,
    differences,
    in_tables,
    parsed,
    sheet_of,
    typed,
    words_in_prose,
)
from docs_world.world import World
from rolecall.testing import StrictCloud
from test_docs import DOCS, PAGES, REFERENCE, Block, blocks_of, name_of, without_blocks

HOW_TO = DOCS / "how-to"
TYPED_PAGES = [
    page
    for page in PAGES
    if (page.name == "README.md" or HOW_TO in page.parents) and sheet_of(page)
]


@pytest.fixture(scope="module")
def cloud() -> Iterator[StrictCloud]:
    """One cloud for all pages: its roles are there once they are assumed."""
    with StrictCloud() as running:
        yield running


@pytest.mark.parametrize("page", TYPED_PAGES, ids=name_of)
def test_what_a_page_says_to_type_does_what_it_says(
    page: Path, cloud: StrictCloud, tmp_path: Path
) -> None:
    sheet = sheet_of(page)
    if organization.is_in_an_organization(page):
        organization.build(cloud)
    world = World(cloud, tmp_path / "home", sheet)
    if sheet.jobs:
        world.be_a_runner()

    seen = world.do()
    steps = [world.step(script, environ) for script, environ in sheet.jobs]

    wrong = [one.wrong for one in seen if one.wrong] + [one for one in steps if one]
    assert not wrong, f"{name_of(page)}:\n" + "\n".join(wrong)
    assert world.strangers() == []
    shown = "".join(line for one in sheet.commands for line in one.shown or ())
    assert world.prompts == shown.count("MFA code for "), "codes asked for that no reader is told"


@pytest.mark.parametrize(
    "page", [page for page in TYPED_PAGES if page.stem.startswith("migrate-")], ids=name_of
)
def test_what_a_table_gives_for_another_tools_command_works(
    page: Path, cloud: StrictCloud, tmp_path: Path
) -> None:
    commands = in_tables(page.read_text(encoding="utf-8"))
    world = World(cloud, tmp_path / "home", sheet_of(page))

    seen = world.try_each(commands)

    assert commands
    assert [one.wrong for one in seen if one.wrong] == []
    assert world.strangers() == []


def untyped_blocks(page: Path) -> list[str]:
    """Return the lines of *page* that look typed, in blocks that nobody types."""
    return [
        f"{name_of(page)}:{number}: {line}"
        for block in blocks_of(page.read_text(encoding="utf-8"))
        if block.language not in TYPED
        for number, line in enumerate(block.code.splitlines(), block.line)
        if line.startswith("$ ") or (block.language in {"", "text"} and _is_ours(line))
        if REFERENCE not in page.parents  # which has how command lines are made up
    ]


def _is_ours(line: str) -> bool:
    return line.startswith("rolecall ")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_hides_in_a_block_that_nobody_types(page: Path) -> None:
    assert untyped_blocks(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_of_rolecall_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = words_in_prose(without_blocks(text))
    for block in blocks_of(text):
        if block.language in TYPED:
            lines += [
                one.text.replace("\\\n", " ")
                for one in typed(block)
                if one.text.startswith("rolecall ")
            ]

    wrong = {line: parsed(line) for line in lines}

    assert {line: why for line, why in wrong.items() if why} == {}


def test_pages_about_the_command_line_are_typed() -> None:
    """Or a change to how pages are read could have nothing typed at all."""
    told = {page.stem for page in TYPED_PAGES}

    assert told >= {
        "README", "docker", "github-actions", "long-jobs", "mfa-once-a-day",
        "migrate-from-aws-assume-role-lib", "migrate-from-aws-vault", "migrate-from-awsume",
        "notebooks", "run-in-every-account", "several-accounts",
    }  # fmt: skip


# That what is wrong is found

CONFIG = """```ini
# ~/.aws/config
[profile me]
region = eu-central-1

[profile reader]
role_arn = arn:aws:iam::123456789012:role/Reader
source_profile = me
region = eu-central-1
```
"""

WRONG = {
    "a command that fails": ("$ false\n", "exit code 1"),
    "a command that does not": ("<!-- ends with 2 -->\n$ true\n", "exit code 0, not 2"),
    "another output": ("$ echo one\ntwo\n", "seen: one"),
    "less output": ("$ echo one\none\ntwo\n", "seen: one"),
    "more output": ("$ printf 'one\\ntwo\\n'\none\n", "seen: two"),
}


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes a page of the lines of one console block."""

    def page_of(lines: str) -> Path:
        mark = lines.partition("\n")[0] if lines.startswith("<!--") else ""
        code = lines.removeprefix(mark).lstrip("\n")
        page = tmp_path / "page.md"
        page.write_text(f"{CONFIG}\n{mark}\n\n```console\n{code}```\n", encoding="utf-8")
        return page

    return page_of


@pytest.mark.parametrize("case", WRONG)
def test_a_page_that_is_wrong_is_found(
    case: str, page_of: Callable[[str], Path], cloud: StrictCloud, tmp_path: Path
) -> None:
    lines, why = WRONG[case]
    sheet = sheet_of(page_of(lines))

    seen = World(cloud, tmp_path / "home", sheet).do()

    assert why in "".join(one.wrong for one in seen)


def test_a_program_that_is_somebody_else_is_found(
    page_of: Callable[[str], Path], cloud: StrictCloud, tmp_path: Path
) -> None:
    sheet = sheet_of(
        page_of("$ AWS_PROFILE=me terraform plan\n$ rolecall exec reader -- old-tool\n")
    )
    world = World(cloud, tmp_path / "home", sheet)

    seen = world.do()

    assert [one.wrong for one in seen] == ["", ""]
    assert world.asked_aws() == {"terraform", "old-tool"}
    (stranger,) = world.strangers()
    assert '"terraform"' in stranger


def test_anything_stands_for_text_in_a_line_and_for_lines() -> None:
    assert differences(("a … c", "…", "z"), "a bb c\nx\ny\nz\n") == ""
    assert differences(("a … c", "…", "z"), "a bb c\nz\n") == ""
    assert "seen" in differences(("a … c",), "a b\nc\n")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("rolecall exec", ""),
        ("rolecall exec deploy --via env -- sh -c 'rolecall nonsense'", ""),
        ("rolecall export deploy --format fish | source", ""),
        ("rolecall cache clear --yes", ""),
        ("rolecall credential-process deploy", ""),
        ("rolecall cash clear", "there is no command cash"),
        ("rolecall exec deploy --vai env", "No such option"),
        ("rolecall export deploy --format yaml", "Invalid value"),
        ("rolecall credential-process --profile hub", "does not understand"),
    ],
)
def test_command_lines_that_do_not_exist_are_found(line: str, why: str) -> None:
    found = parsed(line)

    assert why in found
    assert bool(why) == bool(found)


def test_commands_are_read_as_a_reader_reads_them() -> None:
    code = "$ one \\\n    -e two\nshown\n$ cat <<END\n> three\n> END\n$ four\n$ echo $?\n4\n"

    found = list(typed(Block(language="console", code=code, line=10, before="")))

    assert [(one.text, one.shown, one.line, one.ends) for one in found] == [
        ("one \\\n    -e two", ("shown",), 10, 0),
        ("cat <<END\nthree\nEND", None, 13, 0),
        ("four", None, 16, None),
        ("echo $?", ("4",), 17, 0),
    ]
