"""The documentation says what is so: its code runs, its links lead somewhere, nothing is left out.

How a page is read:

* Each ``python`` block must compile. All of ``docs/tutorial`` is run, and elsewhere a block whose
  first line is ``# run`` or which stands under ``<!-- run -->``: per page, in order, in one
  program, in an empty home, as a user of a `StrictCloud`. Those under ``<!-- run with
  aiobotocore -->`` or ``<!-- run with aioboto3 -->`` are run by ``tests/aio``, where those are.
* What stands under ``<!-- printed -->``, a block or a table, is printed by the page's code; a
  picture, ``name.svg``, is written by it.
* A page with the line ``<!-- in an organization -->`` is read in `docs_world.organization`.
* An ``ini`` block whose first line is ``# ~/.aws/config`` is written there before the page runs,
  and a ``csv`` block whose first line is ``# name.csv`` into such a file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import rolecall
import rolecall.errors
from docs_world import organization
from rolecall.testing import StrictCloud

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
TROUBLESHOOTING = DOCS / "troubleshooting.md"

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)$")
PRINTED = "<!-- printed -->"
RUN_LIMIT_SECONDS = 100


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        line: Of its first line of code, from 1.
        before: The line above the fence that is not empty.
    """

    language: str
    code: str
    line: int
    before: str


def blocks_of(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = text.splitlines()
    number, before = 0, ""
    while number < len(lines):
        opened = FENCE.match(lines[number])
        if not opened:
            before = lines[number].strip() or before
            number += 1
            continue
        first = number + 1
        number = first
        closing = re.compile(rf"^ *{re.escape(opened['fence'])}`*~* *$")
        while number < len(lines) and not closing.match(lines[number]):
            number += 1
        if number == len(lines):
            raise AssertionError(f"the block that line {first} opens is never closed")
        indent = len(opened["indent"])
        code = [re.sub(rf"^ {{0,{indent}}}", "", line) for line in lines[first:number]]
        language = (opened["info"].split() or [""])[0].strip("{}.").lower()
        yield Block(language=language, code="\n".join(code) + "\n", line=first + 1, before=before)
        number, before = number + 1, ""


def without_blocks(text: str) -> str:
    """Return a page with its blocks blanked out, lines kept."""
    lines = text.splitlines()
    for block in blocks_of(text):
        count = block.code.count("\n")
        lines[block.line - 2 : block.line + count] = [""] * (count + 2)
    return "\n".join(lines)


def prose_of(text: str) -> str:
    """Return a page with its code blanked out, lines kept."""
    return re.sub(r"`[^`\n]*`", "``", without_blocks(text))


def is_run(page: Path, block: Block) -> bool:
    if block.language != "python":
        return False
    marked = block.code.startswith("# run\n") or block.before == "<!-- run -->"
    return marked or (DOCS / "tutorial") in page.parents or page.name == "tutorial.md"


def script_of(page: Path, *marks: str) -> str:
    """Return all of a page that is run, each block on its own lines, so that tracebacks fit.

    Args:
        marks: The lines above the blocks to run, instead of what this module runs.
    """
    lines: list[str] = []
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.before in marks if marks else is_run(page, block):
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.code.splitlines()
    return "\n".join(lines)


def printed_on(text: str) -> list[str]:
    """Return what a page says that its code prints."""
    blocks = [block.code for block in blocks_of(text) if block.before == PRINTED]
    table = rf"^{PRINTED}\n+((?:\|.*\n)+)"
    return blocks + re.findall(table, without_blocks(text), flags=re.MULTILINE)


def files_on(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and contents of each file that a page shows and its reader has."""
    for block in blocks_of(text):
        named = re.match(r"# ([\w-]+\.csv)\n", block.code)
        if block.language == "csv" and named:
            yield named[1], block.code


def pictures_on(text: str) -> list[str]:
    """Return the pictures of a page, which its code is to have written."""
    return re.findall(r"!\[[^\]]*\]\(([\w-]+\.svg)\)", without_blocks(text))


def headings_of(text: str) -> list[str]:
    return re.findall(r"^#{1,6} +(.+?) *#*$", without_blocks(text), flags=re.MULTILINE)


def _bare(heading: str) -> str:
    heading = re.sub(r"\{[^}]*\}$", "", heading)
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[`*]|(?<!\w)_|_(?!\w)", "", heading).strip()


def on_the_site(heading: str) -> str:
    """Return the anchor that MkDocs gives a heading."""
    plain = unicodedata.normalize("NFKD", _bare(heading)).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def on_github(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", _bare(heading).lower()).replace(" ", "-")


def anchors_of(page: Path) -> set[str]:
    """Return what may follow ``#`` in a link to *page*, for whoever shows it."""
    text = page.read_text(encoding="utf-8")
    slug, joint = (on_the_site, "_") if DOCS in page.parents else (on_github, "-")
    found: set[str] = set(re.findall(r"""(?:id|name)=["']([^"']+)["']""", text))
    found |= set(re.findall(r"\{#([\w-]+)[^}]*\}", text))
    for heading in headings_of(text):
        anchor, count = slug(heading), 0
        while anchor in found:
            count += 1
            anchor = f"{slug(heading)}{joint}{count}"
        found.add(anchor)
    return found


def links_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and target of each link that does not lead to another site."""
    for number, line in enumerate(prose_of(text).splitlines(), 1):
        inline = re.findall(r"\]\(<?([^)\s>]+)>?(?: +\"[^\"]*\")?\)", line)
        defined = re.findall(r"^ *\[[^\]]+\]: *<?(\S+?)>?(?: .*)?$", line)
        html = re.findall(r"""(?:href|src)=["']([^"']+)["']""", line)
        for target in [*inline, *defined, *html]:
            if not re.match(r"[a-z][a-z0-9+.-]*:", target):
                yield number, target


def dead_links_of(page: Path) -> list[str]:
    """Return each link of *page* that leads nowhere, with why."""
    dead = []
    for line, target in links_of(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists():
            why = "there is no such file"
        elif DOCS in page.parents and DOCS not in aim.parents:
            why = "it leaves docs/, so it is dead on the site"
        elif anchor and aim.suffix == ".md" and anchor not in anchors_of(aim):
            why = f"there is no such heading, but {', '.join(sorted(anchors_of(aim)))}"
        else:
            continue
        dead.append(f"{page.name}:{line}: {target}: {why}")
    return dead


# What is tested


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_the_documentation_compiles(page: Path) -> None:
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language in {"python", "py"}:
            compile("\n" * (block.line - 1) + block.code, str(page), "exec", dont_inherit=True)


@pytest.mark.parametrize("page", [p for p in PAGES if script_of(p)], ids=name_of)
def test_the_documentation_runs(page: Path, tmp_path: Path, own_home: Path) -> None:
    run(page, script_of(page), tmp_path, own_home)


def run(page: Path, code: str, tmp_path: Path, own_home: Path) -> None:
    """Run *code* of *page* as a user of a `StrictCloud`."""
    script = tmp_path / f"{page.stem}_page.py"  # not asyncio.py
    script.write_text(code, encoding="utf-8")
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language == "ini" and block.code.startswith("# ~/.aws/config\n"):
            config = own_home / ".aws" / "config"
            config.parent.mkdir(exist_ok=True)
            config.write_text(block.code, encoding="utf-8")

    text = page.read_text(encoding="utf-8")
    for name, contents in files_on(text):
        (tmp_path / name).write_text(contents, encoding="utf-8")

    with StrictCloud() as cloud:
        if organization.is_in_an_organization(page):
            organization.build(cloud)
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env={**os.environ, **cloud.environ()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_SECONDS,
            check=False,
        )

    assert done.returncode == 0, f"{name_of(page)}: {done.stdout}\n{done.stderr}"
    missing = [shown for shown in printed_on(text) if shown not in done.stdout]
    assert missing == [], f"{name_of(page)} printed something else: {done.stdout}"
    for picture in pictures_on(text):
        assert (page.parent / picture).read_text("utf-8") == (tmp_path / picture).read_text("utf-8")


def test_something_of_the_documentation_runs() -> None:
    run = {name_of(page) for page in PAGES if script_of(page)}

    assert "README.md" in run, "mark a block of the README with <!-- run -->"
    assert any("tutorial" in name for name in run), "docs/tutorial has no python block"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links_of(page) == []


def test_each_public_name_is_in_the_reference() -> None:
    assert REFERENCE.is_dir(), "docs/reference is missing"
    text = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.rglob("*.md"))
    explained = set(re.findall(r"`(?:rolecall\.)?(\w+)(?:\([^`]*\))?`", text))

    missing = [n for n in rolecall.__all__ if n not in explained]

    assert missing == [], "no `name` in docs/reference"


def test_each_error_has_a_heading_in_troubleshooting() -> None:
    assert TROUBLESHOOTING.is_file(), "docs/troubleshooting.md is missing"
    words = {
        word
        for heading in headings_of(TROUBLESHOOTING.read_text(encoding="utf-8"))
        for word in re.findall(r"\w+", heading)
    }
    errors = [
        name
        for name, one in vars(rolecall.errors).items()
        if isinstance(one, type) and issubclass(one, Exception) and not name.startswith("_")
    ]

    assert [name for name in errors if name not in words] == []


def test_make_targets_that_the_documentation_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = {
        (name_of(page), target)
        for page in PAGES
        for either in re.findall(
            r"`make ([a-z-]+)|^(?:\$ )?make ([a-z-]+) *(?:#|$)",
            page.read_text("utf-8"),
            re.MULTILINE,
        )
        for target in either
        if target
    }

    assert named, "no page names a make target"
    assert [(page, target) for page, target in sorted(named) if target not in targets] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = "".join(block.code for block in list(blocks_of(readme))[:1])

    assert "make demo" in shown
    assert "make test" in shown


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    listed = re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    pages = {page.relative_to(DOCS).as_posix() for page in PAGES if DOCS in page.parents}

    assert pages == set(listed)


# That these searches find what they are there to find

MADE_UP = """# A page

See [it](#a-heading-with-code), [that](#nowhere), [other](other.md#part), [gone](gone.md).
Not `[code](nothing.md)`.

## A heading, with `code`!

```python title="x"
# run
x = 1
```

    ```python
    y = [link](no.md)
    ```

~~~~text
```python
not code
```
~~~~

<!-- run -->

```python
z = x
```
"""


def test_blocks_are_read_as_markdown_reads_them() -> None:
    read = [(block.language, block.code) for block in blocks_of(MADE_UP)]

    assert read == [
        ("python", "# run\nx = 1\n"),
        ("python", "y = [link](no.md)\n"),
        ("text", "```python\nnot code\n```\n"),
        ("python", "z = x\n"),
    ]


def test_marked_blocks_run_on_their_own_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(MADE_UP, encoding="utf-8")

    lines = script_of(page).splitlines()

    assert [line for line in lines if line] == ["# run", "x = 1", "z = x"]
    assert MADE_UP.splitlines()[lines.index("z = x")] == "z = x"


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(MADE_UP, encoding="utf-8")
    (tmp_path / "other.md").write_text("# Part\n", encoding="utf-8")

    dead = [line.split(": ")[1] for line in dead_links_of(page)]

    assert dead == ["#nowhere", "gone.md"]


def test_files_are_found() -> None:
    page = "```csv\n# a.csv\nid\n```\n\n```csv\nid\n```\n\n```sh\n# b.csv\n```\n"

    assert list(files_on(page)) == [("a.csv", "# a.csv\nid\n")]


def test_what_is_printed_and_drawn_is_found() -> None:
    page = (
        "<!-- printed -->\n\n| a |\n|---|\n| 1 |\n\n| b |\n\n<!-- printed -->\n\n"
        "```text\nout\n```\n\n```text\nnot\n```\n\n![A bar.](bars.svg) ![](https://x.example/y.svg)\n"
    )

    assert printed_on(page) == ["out\n", "| a |\n|---|\n| 1 |\n"]
    assert pictures_on(page) == ["bars.svg"]


def test_a_block_that_is_never_closed_is_an_error() -> None:
    with pytest.raises(AssertionError, match="line 2 opens is never closed"):
        list(blocks_of("text\n```python\nx = 1\n"))


@pytest.mark.parametrize(
    ("heading", "site", "github"),
    [
        ("The layers", "the-layers", "the-layers"),
        ("`assume_role()` and its friends", "assume_role-and-its-friends",
         "assume_role-and-its-friends"),
        ("Time, chance & I/O", "time-chance-io", "time-chance--io"),
        ("Über [ARNs](x.md)", "uber-arns", "über-arns"),
    ],
)  # fmt: skip
def test_anchors_are_those_of_who_shows_the_page(heading: str, site: str, github: str) -> None:
    assert (site, github) == (on_the_site(heading), on_github(heading))
