"""What `import rolecall` costs, and what it gives."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import rolecall

SOURCE = Path(__file__).parent.parent / "src" / "rolecall"
HEAVY = {
    "aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "cheroot", "dateutil", "filelock",
    "jmespath", "moto", "pytest", "s3transfer", "ssl", "urllib3",
}  # fmt: skip
# Layers 0 to 2: what decides, but never talks to anybody.
PURE = ("_version", "clock", "credentials", "errors", "fork", "chain", "refresh")


@cache
def run(script: str) -> Any:
    """Run *script* in a new interpreter and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded_by(*statements: str) -> set[str]:
    """Return the top-level modules that *statements* load in a new interpreter."""
    code = "; ".join(statements)
    return set(
        run(
            "import json, sys; before = set(sys.modules)\n"
            f"{code}\n"
            "print(json.dumps(sorted({n.partition('.')[0] for n in set(sys.modules) - before})))"
        )
    )


def test_importing_rolecall_loads_nothing_heavy() -> None:
    assert loaded_by("import rolecall") & HEAVY == set()


def test_importing_rolecall_loads_only_itself_and_the_standard_library() -> None:
    assert loaded_by("import rolecall") - sys.stdlib_module_names == {"rolecall"}


def test_asking_what_there_is_loads_nothing_heavy() -> None:
    statements = ("import rolecall", "dir(rolecall)", "rolecall.__all__", "rolecall.__version__")

    assert loaded_by(*statements) & HEAVY == set()


@pytest.mark.parametrize("unit", PURE)
def test_what_decides_loads_neither_botocore_nor_asyncio(unit: str) -> None:
    path = SOURCE / unit
    names = [unit]
    if path.is_dir():
        names += [f"{unit}.{one.stem}" for one in path.glob("[!_]*.py") if one.stem != "aio"]

    loaded = loaded_by(*(f"import rolecall.{name}" for name in sorted(names)))

    assert loaded & HEAVY == set()


def test_dir_and_all_agree() -> None:
    """Also once submodules, which Python makes attributes of the package, were imported."""
    fresh, used = run(
        "import json, rolecall\n"
        "fresh = dir(rolecall)\n"
        "for name in rolecall.__all__: getattr(rolecall, name)\n"
        "print(json.dumps([fresh, dir(rolecall)]))"
    )

    public = {name for name in used if not name.startswith("_")}
    assert public == {name for name in rolecall.__all__ if not name.startswith("_")}
    assert set(rolecall.__all__) <= set(fresh)
    assert set(fresh) <= set(used)


def test_all_names_nothing_twice() -> None:
    assert {*rolecall._HOMES, "__version__"} == set(rolecall.__all__)
    assert len(rolecall.__all__) == len(set(rolecall.__all__))


def test_every_public_name_exists() -> None:
    missing = [name for name in rolecall.__all__ if not hasattr(rolecall, name)]

    assert missing == []


def test_every_public_object_has_a_docstring() -> None:
    bare = [
        name
        for name in rolecall.__all__
        if callable(getattr(rolecall, name)) and not getattr(rolecall, name).__doc__
    ]

    assert bare == []


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"rolecall.*no_such_name"):
        _ = rolecall.no_such_name


def test_star_import_gives_the_public_names() -> None:
    given = run(
        "import json\nspace = {}\nexec('from rolecall import *', space)\n"
        "print(json.dumps(sorted(n for n in space if n != '__builtins__')))"
    )

    assert given == sorted(rolecall.__all__)


WITHOUT_AIOBOTOCORE = """
import json, sys
sys.modules["aiobotocore"] = None  # what Python takes for: it is not installed
import rolecall
said = []
chain = rolecall.RoleChain(rolecall.Ambient(), "arn:aws:iam::123456789012:role/Reader")
for use in (lambda: rolecall.aio, chain.aio_session):
    try:
        use()
    except ImportError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_without_aiobotocore_it_says_how_to_get_it() -> None:
    said = run(WITHOUT_AIOBOTOCORE)

    assert len(said) == 2
    assert all("pip install 'rolecall[aio]'" in one for one in said)
