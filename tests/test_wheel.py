"""The built wheel works with the source gone: it is what users get."""

from __future__ import annotations

import configparser
import email
import email.message
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "rolecall"
EXTRAS = {"aio", "all", "cli", "fleet", "keyring", "redis", "testing"}
EXTRAS_FOR_OURSELVES = {"bench", "bench-aio", "dev", "dev-aio", "docs"}


def finished(command: list[str], **keywords: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from it as an installer would; return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    finished(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        timeout=110,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A wheel of pure Python is installed by unpacking it; pip need not be in this environment.
    target = tmp_path_factory.mktemp("installed")
    wheel.extractall(target)
    return target


def run_installed(installed: Path, script: str) -> Any:
    """Run *script* where rolecall is only the wheel; return the JSON it prints.

    ``-S`` leaves out the ``.pth`` file by which an editable install finds the source; the other
    libraries come back by their folder, in which no ``.pth`` is read.
    """
    libraries = [path for path in sys.path if Path(path).name == "site-packages"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), *libraries])}
    return json.loads(
        finished(
            [sys.executable, "-S", "-W", "error", "-c", script],
            cwd=installed,
            env=environ,
            timeout=110,
        )
    )


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {
        f"rolecall/{path.relative_to(SOURCE).as_posix()}"
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert inside == expected
    assert "rolecall/py.typed" in inside


def test_the_wheel_carries_its_licence(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))

    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_says_what_it_is(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "rolecall"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata.get_all("Provides-Extra", [])) == EXTRAS | EXTRAS_FOR_OURSELVES


def test_the_core_needs_two_libraries(metadata: email.message.Message) -> None:
    needed = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]

    assert [text.partition(">=")[0] for text in needed] == ["boto3", "filelock"]


def test_requirements_have_lower_bounds_only(metadata: email.message.Message) -> None:
    """An upper bound of a library is one more thing that keeps an application from upgrading."""
    bounded = [
        text
        for text in metadata.get_all("Requires-Dist", [])
        if any(mark in text.partition(";")[0] for mark in ("<", "==", "~=", "!="))
    ]

    assert bounded == []


def test_the_source_archive_can_be_built_and_tested_from(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    needed = {"Makefile", "README.md", "LICENSE", "pyproject.toml", "docs/architecture.md"}
    assert needed | {"tests/conftest.py", ".ci/run"} <= names
    assert not any(name.startswith((".venv", ".git/")) for name in names)


def is_asynchronous(path: Path) -> bool:
    """Return whether a module needs aiobotocore; `tests/aio` imports those."""
    return path == SOURCE / "aio.py" or path.is_relative_to(SOURCE / "sessions" / "aio")


def test_every_module_of_the_wheel_can_be_imported_with_the_source_gone(installed: Path) -> None:
    names = sorted(
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for path in SOURCE.rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"} and not is_asynchronous(path)
    )

    homes = run_installed(
        installed,
        "import importlib, json, rolecall\n"
        f"modules = [rolecall, *map(importlib.import_module, {names!r})]\n"
        "print(json.dumps([m.__file__ for m in modules]))",
    )

    assert len(homes) == len(names) + 1
    assert [home for home in homes if not Path(home).is_relative_to(installed)] == []


def test_every_public_name_is_in_the_wheel(installed: Path) -> None:
    version, missing = run_installed(
        installed,
        "import json, rolecall\n"
        "missing = [n for n in rolecall.__all__ if not hasattr(rolecall, n)]\n"
        "print(json.dumps([rolecall.__version__, missing]))",
    )

    assert missing == []
    assert version


def test_the_version_is_written_down_once(installed: Path, metadata: email.message.Message) -> None:
    by_code, by_metadata = run_installed(
        installed,
        "import importlib.metadata, json, rolecall\n"
        "print(json.dumps([rolecall.__version__, importlib.metadata.version('rolecall')]))",
    )

    assert by_code == by_metadata == metadata["Version"]


def test_the_pytest_plugin_is_found_by_its_entry_point(installed: Path) -> None:
    found, home = run_installed(
        installed,
        "import importlib.metadata, json\n"
        "(entry,) = [e for e in importlib.metadata.entry_points(group='pytest11')\n"
        "            if e.name == 'rolecall' and 'rolecall' in e.value]\n"
        "print(json.dumps([entry.value, entry.load().__file__]))",
    )

    assert found == "rolecall.testing.pytest_plugin"
    assert Path(home).is_relative_to(installed)


def test_the_command_is_one_of_the_wheels_scripts(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    scripts = configparser.ConfigParser()
    scripts.read_string(wheel.read(name).decode())

    assert dict(scripts["console_scripts"]) == {"rolecall": "rolecall.cli:main"}
