"""What must not be in any file of the repository."""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "rolecall"

# The one file that lists the private names of botocore and boto3 that rolecall leans on.
UPSTREAM = SOURCE / "sources" / "upstream.py"
UPSTREAM_LIBRARIES = {"aioboto3", "aiobotocore", "boto3", "botocore", "s3transfer", "urllib3"}

SKIPPED_FOLDERS = {
    ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".real", ".ruff_cache", ".venv",
    ".venv-aio", ".venv-matrix", "__pycache__", "build", "dist", "node_modules", "site",
}  # fmt: skip
BINARY = {".gif", ".ico", ".jpg", ".png", ".svg", ".webp", ".gz", ".whl"}


@cache
def files(root: Path = ROOT) -> tuple[tuple[str, str], ...]:
    """Return the name and text of every file that is ours."""
    found = []
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(set(inner) - SKIPPED_FOLDERS)
        paths = [Path(folder, name) for name in sorted(names)]
        found += [
            (path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
            for path in paths
            if path.suffix not in BINARY and path.is_file()
        ]
    return tuple(found)


def lines_with(pattern: str, *, root: Path = ROOT, only: str = "") -> list[str]:
    """Return ``file:line: text`` of each line that matches *pattern*, but for this very file."""
    search = re.compile(pattern).search
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in files(root)
        if name != "tests/test_repository.py" and name.startswith(only)
        for number, line in enumerate(text.splitlines(), 1)
        if search(line)
    ]


def test_every_file_is_text_in_utf_8_and_there_are_some() -> None:
    names = [name for name, _ in files()]

    assert {"pyproject.toml", "LICENSE", "src/rolecall/py.typed"} <= set(names)


def test_no_path_of_somebodys_machine() -> None:
    machine = r"(?<![\w.])/(?:work|tmp/lab|root|Users|home)/\w|C:\\Users|/\.pyenv/"

    assert lines_with(machine) == []


# Keys of AWS's documentation say EXAMPLE, ours say FAKE.
KEY = r"\b(?:AKIA|ASIA|AROA|AIDA)(?![A-Z0-9…]*(?:FAKE|EXAMPLE))[A-Z0-9]{16,17}\b"


def test_no_key_that_could_be_somebodys() -> None:
    assert lines_with(KEY) == []


def test_no_secret_that_could_be_somebodys() -> None:
    """Forty characters of base64 in quotes, as secret access keys are, that do not say FAKE."""
    mixed = r"(?=[^\"']*[A-Z])(?=[^\"']*[a-z])(?=[^\"']*\d)"
    secret = rf"[\"'](?![^\"']*(?i:fake|example)){mixed}[A-Za-z0-9/+]{{40}}[\"']"

    assert lines_with(secret) == []


def test_no_private_key() -> None:
    assert lines_with(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*$") == []


@pytest.mark.parametrize(
    ("pattern", "only"),
    [
        (r"\b(?:TODO|FIXME|XXX|HACK)\b", ""),
        (r"raise NotImplementedError", ""),
        (r"pragma: no cover", ""),
        (r"\bmark\.(?:skip|skipif|xfail)\b|pytest\.(?:skip|xfail|importorskip)\(", "tests/"),
        (r"\b(?:unittest\.mock|MagicMock|mocker)\b", "tests/"),
        (r"# type: ignore(?!\[)", ""),
        (r"# noqa(?!: [A-Z]+\d+)", ""),
        (r"\b(?:breakpoint|pdb\.set_trace)\(", ""),
        (r"^(?:<<<<<<<|>>>>>>>) ", ""),
    ],
)
def test_nothing_half_done(pattern: str, only: str) -> None:
    assert lines_with(pattern, only=only) == []


def test_a_border_that_reads_the_machine_says_why() -> None:
    unexplained = r"# noqa: (?:[A-Z]+\d+(?:, ?)?)+\s*$"

    assert lines_with(unexplained, only="src/") == []


def test_no_module_is_a_drawer_for_leftovers() -> None:
    drawers = {"utils", "util", "common", "helpers", "base", "misc"}

    found = [p for p in SOURCE.rglob("*") if p.stem in drawers]

    assert found == []


def test_every_module_has_a_docstring() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for path in sorted(SOURCE.rglob("*.py"))
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert bare == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("AKIA" + "QQ5PW7XNRT3LZ2VB", True),
        ("ASIA" + "QQ5PW7XNRT3LZ2VB", True),
        ("AKIAIOSFODNN7EXAMPLE", False),
        ("ASIAFAKEFAKEFAKE0001", False),
    ],
)
def test_the_search_for_keys_finds_them(text: str, found: bool) -> None:
    assert bool(re.search(KEY, text)) is found


# Private names of libraries.


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_private_text(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_private(node.value)
    )


def _own_names(trees: list[ast.Module]) -> set[str]:
    """Return every private name that rolecall itself defines."""
    own: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
                    own.add(node.attr)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
                own.update(ast.literal_eval(node.value))
            elif isinstance(node, ast.Dict):  # the body of a class that type() makes
                own.update(
                    ast.literal_eval(key) for key in node.keys if key and _is_private_text(key)
                )
    return own


def private_names_in(sources: dict[str, str]) -> list[tuple[str, str]]:
    """Return ``(place, name)`` for each private name of a library that *sources* use.

    Found: imports of it, and attributes that no code of ours defines.
    """
    trees = {name: ast.parse(text) for name, text in sources.items()}
    own = _own_names([tree for name, tree in trees.items() if name != UPSTREAM.name])
    found = []
    for name, tree in trees.items():
        for node in ast.walk(tree):
            used: list[str] = []
            if isinstance(node, ast.ImportFrom) and not node.level:
                if (node.module or "").partition(".")[0] in UPSTREAM_LIBRARIES:
                    used = [*(node.module or "").split("."), *(a.name for a in node.names)]
            elif isinstance(node, ast.Attribute) and node.attr not in own:
                used = [node.attr]
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"getattr", "hasattr", "setattr", "delattr"}
                and len(node.args) > 1
                and isinstance(node.args[1], ast.Constant)
                and isinstance(node.args[1].value, str)
            ):
                used = [node.args[1].value]
            found += [
                (f"{name}:{getattr(node, 'lineno', 0)}", one) for one in used if _is_private(one)
            ]
    return sorted(found)


def test_private_names_of_botocore_are_used_only_in_the_file_that_lists_them() -> None:
    sources = {
        str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8")
        for path in SOURCE.rglob("*.py")
        if path != UPSTREAM and path.relative_to(SOURCE).parts[0] != "testing"
    }
    python_itself = {"_getframe", "_fields", "_replace", "_asdict", "_exit"}

    used = [
        f"{place}: {name}" for place, name in private_names_in(sources) if name not in python_itself
    ]

    assert used == [], f"move these behind {UPSTREAM.relative_to(ROOT)}, which a test watches"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from botocore.session import _x", ["_x"]),
        ("from botocore._internal import x", ["_internal"]),
        ("session._session", ["_session"]),
        ("getattr(client, '_endpoint')", ["_endpoint"]),
        ("session._session = 1", ["_session"]),
        ("class C:\n    def f(self):\n        self._own = 1\n        return self._own", []),
        ("def _f(): pass\nx._f", []),
        ("from .own import _f", []),
        ("x.__dict__", []),
    ],
)
def test_the_search_for_private_names_finds_them(text: str, names: list[str]) -> None:
    assert [name for _, name in private_names_in({"made_up.py": text})] == names
