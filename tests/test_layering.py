"""Imports point down the table in docs/architecture.md, and no ring of them closes."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "architecture.md"
SOURCE = ROOT / "src" / "rolecall"

PACKAGE = "rolecall"
FACE = "__init__"
# From here on, a module may compute the name of what it imports: the faces and the commands do.
COMPUTED_IMPORTS_FROM_LAYER = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table."""

    layer: int
    libraries: frozenset[str]
    to_come: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One thing a module imports.

    Attributes:
        target: Dotted and absolute, as far as it names a module. Empty: computed when it runs.
        lazy: It stands in a function, so it does not run when the module is imported.
        types_only: It stands under ``if TYPE_CHECKING``.
    """

    target: str
    line: int
    lazy: bool = False
    types_only: bool = False


def rows_of(text: str) -> dict[str, Row]:
    """Return the layer table of an architecture page."""
    _, start, rest = text.partition("<!-- layers:")
    table, end, _ = rest.partition("<!-- end of layers -->")
    assert start, "docs/architecture.md has lost the mark '<!-- layers: … -->'"
    assert end, "docs/architecture.md has lost the mark '<!-- end of layers -->'"
    rows = {}
    for line in table.splitlines():
        match = re.match(r"\|\s*`(\w+)`\s*\|\s*(\d+)\s*\|([^|]*)\|([^|]*)\|\s*$", line)
        if match:
            name, layer, libraries, words = match.groups()
            assert name not in rows, f"docs/architecture.md lists {name} twice"
            rows[name] = Row(
                layer=int(layer),
                libraries=frozenset(re.findall(r"`(\w+)`", libraries)),
                to_come="(to come)" in words,
            )
    assert rows, "docs/architecture.md has no row such as | `clock` | 0 | | … |"
    return rows


def modules_of(source: Path) -> dict[str, Path]:
    """Return every module under *source*, by its dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(source).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def unit_of(module: str) -> str:
    """Return the row that speaks for *module*."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FACE


class _Reader(ast.NodeVisitor):
    def __init__(self, module: str, is_package: bool, known: Mapping[str, Path]) -> None:
        self.package = module if is_package else module.rpartition(".")[0]
        self.known = known
        self.found: list[Import] = []
        self.depth = 0
        self.types_only = False

    def add(self, target: str, node: ast.AST) -> None:
        self.found.append(
            Import(
                target=target,
                line=getattr(node, "lineno", 0),
                lazy=self.depth > 0,
                types_only=self.types_only,
            )
        )

    def absolute(self, name: str, level: int) -> str:
        if level == 0:
            return name
        parts = self.package.split(".")
        return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = self.absolute(node.module or "", node.level)
        for alias in node.names:
            inner = f"{origin}.{alias.name}"
            self.add(inner if inner in self.known else origin, node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else None
        name = function.id if isinstance(function, ast.Name) else name
        if name in {"import_module", "__import__", "resolve_name"} and node.args:
            asked = node.args[0]
            if isinstance(asked, ast.Constant) and isinstance(asked.value, str):
                bare = asked.value.lstrip(".")
                self.add(self.absolute(bare, len(asked.value) - len(bare)), node)
            else:
                self.add("", node)
        self.generic_visit(node)

    def inside(self, node: ast.AST) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = inside

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)
            return
        self.types_only = True
        for statement in node.body:
            self.visit(statement)
        self.types_only = False
        for statement in node.orelse:
            self.visit(statement)


def imports_of(module: str, path: Path, known: Mapping[str, Path]) -> list[Import]:
    """Return all that *module* imports, wherever it does so."""
    reader = _Reader(module, path.name == "__init__.py", known)
    reader.visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return reader.found


def rings_of(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Yield every ring that a depth-first walk of *graph* closes, as the path round it."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> Iterator[list[str]]:
        if node in path:
            yield [*path[path.index(node) :], node]
        elif node not in done:
            for following in sorted(graph.get(node, ())):
                yield from walk(following, [*path, node])
            done.add(node)

    for start in sorted(graph):
        yield from walk(start, [])


def faults_of(rows: Mapping[str, Row], source: Path) -> list[str]:
    """Return every way in which the code under *source* breaks the table; empty if none."""
    known = modules_of(source)
    units = {unit_of(module) for module in known}
    faults = [f"{unit} has no row in the table" for unit in sorted(units - rows.keys())]
    for name, row in rows.items():
        if name not in units and not row.to_come:
            faults.append(f"{name} has a row in the table but no code: delete it or say (to come)")
        if name in units and row.to_come:
            faults.append(f"{name} has code: delete its (to come)")
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        own = rows.get(unit_of(module))
        if own is None:
            continue
        for one in imports_of(module, path, known):
            where = f"{path.relative_to(source.parent)}:{one.line}: {module}"
            top = one.target.partition(".")[0]
            if not one.target:
                if own.layer < COMPUTED_IMPORTS_FROM_LAYER:
                    faults.append(f"{where} imports a name that it computes: nothing can check it")
            elif top == PACKAGE:
                other = rows.get(unit_of(one.target))
                same = unit_of(one.target) == unit_of(module)
                if other is None:
                    faults.append(f"{where} imports {one.target}, which has no row in the table")
                elif not same and other.layer >= own.layer:
                    way = "up" if other.layer > own.layer else "sideways"
                    faults.append(
                        f"{where} (layer {own.layer}) imports {one.target} (layer {other.layer}): "
                        f"points {way}"
                    )
                elif not one.types_only:
                    graph.setdefault(module, set()).add(one.target)
            elif one.types_only:
                continue
            elif top in sys.stdlib_module_names:
                may = "asyncio" in own.libraries or module.rpartition(".")[2] == "aio"
                if top == "asyncio" and not one.lazy and not may:
                    faults.append(f"{where} loads asyncio when it is imported")
            elif top not in own.libraries:
                faults.append(f"{where} imports {top}, a library the table does not give it")
    faults.extend(f"imports go round: {' -> '.join(ring)}" for ring in rings_of(graph))
    return faults


def test_every_import_points_down_the_table() -> None:
    faults = faults_of(rows_of(TABLE.read_text(encoding="utf-8")), SOURCE)

    assert not faults, "\n".join(["", *faults])


GOOD_TABLE = """
<!-- layers: read by a test -->
| module | layer | libraries | what it knows |
|---|---|---|---|
| `__init__` | 3 | | all |
| `top` | 2 | `boto3` | much |
| `middle` | 1 | | some |
| `peer` | 1 | | some |
| `bottom` | 0 | | little |
| `later` | 2 | | nothing yet (to come) |
<!-- end of layers -->
"""
GOOD_TREE = {
    "__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .top import a\n",
    "top.py": "import boto3\nfrom rolecall.middle import deep\nfrom . import bottom\n",
    "middle/__init__.py": "from .deep import x\nfrom ..bottom import y\n",
    "middle/deep.py": "import json\nfrom .. import bottom\n",
    "peer.py": "def late():\n    import asyncio\n",
    "bottom.py": "x = 1\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    source = tmp_path / PACKAGE
    for name, text in GOOD_TREE.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return source


def test_a_good_tree_has_no_fault(tree: Path) -> None:
    assert faults_of(rows_of(GOOD_TABLE), tree) == []


@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("bottom.py", "import rolecall.top", "rolecall.bottom (layer 0) imports rolecall.top"),
        ("bottom.py", "from rolecall import top", "points up"),
        ("bottom.py", "from rolecall.top import a", "points up"),
        ("bottom.py", "from . import top", "points up"),
        ("bottom.py", "from .top import a", "points up"),
        ("bottom.py", "from rolecall import some_public_name", "imports rolecall (layer 3)"),
        ("middle/deep.py", "from ..top import a", "rolecall.middle.deep (layer 1) imports"),
        ("middle/deep.py", "from .. import top", "points up"),
        ("bottom.py", "def f():\n    from .top import a", "points up"),
        ("bottom.py", "class C:\n    async def f(self):\n        import rolecall.top", "points up"),
        ("bottom.py", "import importlib\nimportlib.import_module('rolecall.top')", "points up"),
        ("bottom.py", "__import__('rolecall.top')", "points up"),
        (
            "middle/deep.py",
            "from importlib import import_module\nimport_module('..top', __package__)",
            "points up",
        ),
        ("bottom.py", "def f(n):\n    return __import__(n)", "computes"),
        (
            "bottom.py",
            "import typing as t\nif t.TYPE_CHECKING:\n    from .top import a",
            "points up",
        ),
        ("peer.py", "from .middle import x", "points sideways"),
        ("bottom.py", "from .nowhere import x", "no row in the table"),
        ("middle/deep.py", "from rolecall.middle import x", "imports go round: rolecall.middle ->"),
        ("middle/deep.py", "def f():\n    from . import x", "imports go round"),
        ("middle/deep.py", "import botocore.session", "imports botocore, a library"),
        ("middle/deep.py", "def f():\n    import boto3", "imports boto3, a library"),
        ("top.py", "import asyncio", "loads asyncio"),
        ("unheard_of.py", "", "unheard_of has no row"),
        ("later.py", "", "later has code: delete its (to come)"),
    ],
)
def test_a_bad_import_is_found(tree: Path, name: str, line: str, fault: str) -> None:
    path = tree / name
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")

    faults = faults_of(rows_of(GOOD_TABLE), tree)

    assert any(fault in one for one in faults), faults


def test_a_row_without_code_is_found(tree: Path) -> None:
    (tree / "peer.py").unlink()

    assert faults_of(rows_of(GOOD_TABLE), tree) == [
        "peer has a row in the table but no code: delete it or say (to come)"
    ]


@pytest.mark.parametrize("mark", ["<!-- layers:", "<!-- end of layers -->", "| `"])
def test_a_table_that_cannot_be_read_is_an_error_not_a_pass(mark: str) -> None:
    with pytest.raises(AssertionError, match=r"architecture\.md"):
        rows_of(GOOD_TABLE.replace(mark, ""))
