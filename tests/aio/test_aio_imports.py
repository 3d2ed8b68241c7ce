"""What `rolecall.aio` costs, and what there is without it."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import aiobotocore.session
import pytest

import rolecall
import rolecall.aio
from rolecall.testing.clock import PATIENCE_SECONDS


@cache
def output(script: str) -> Any:
    """Run *script* in a new interpreter and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded_by(*statements: str) -> set[str]:
    """Return the top-level modules that *statements* load in a new interpreter."""
    code = "; ".join(statements)
    return set(
        output(
            f"import json, sys; {code}\n"
            "print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
        )
    )


def without(*libraries: str) -> str:
    """Return statements that make *libraries* as good as not installed."""
    names = repr(set(libraries))
    return (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {names}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )


@pytest.mark.parametrize(
    "statements",
    [
        ("import rolecall",),
        ("import rolecall", "rolecall.assume_role", "rolecall.RoleChain"),
        ("import rolecall.sessions", "import rolecall.refresh"),
    ],
    ids=["rolecall", "names", "sessions"],
)
def test_nobody_who_does_not_ask_for_it_pays_for_aiobotocore(statements: tuple[str, ...]) -> None:
    assert {"aiobotocore", "aiohttp", "aioboto3"}.isdisjoint(loaded_by(*statements))


def test_aioboto3_s3fs_and_trio_are_not_loaded_with_it() -> None:
    loaded = loaded_by("import rolecall.aio")

    assert "aiobotocore" in loaded
    assert {"aioboto3", "s3fs", "fsspec", "trio", "anyio", "moto"}.isdisjoint(loaded)


def test_it_is_an_attribute_of_the_package() -> None:
    assert output("import json, rolecall; print(json.dumps(rolecall.aio.__name__))") == (
        "rolecall.aio"
    )


@pytest.mark.parametrize("missing", ["aiobotocore", "aiohttp"])
def test_without_the_extra_it_says_how_to_get_it(missing: str) -> None:
    said = output(
        without(missing) + "import json\n"
        "import rolecall\n"
        "said = []\n"
        "for use in (lambda: rolecall.aio, lambda: __import__('rolecall.aio')):\n"
        "    try: use()\n"
        "    except ImportError as error: said.append(str(error))\n"
        "print(json.dumps(said))"
    )

    assert len(said) == 2
    assert all("pip install 'rolecall[aio]'" in message for message in said)


def test_without_the_extra_a_chain_says_so_too() -> None:
    said = output(
        without("aiobotocore") + "import json\n"
        "import rolecall\n"
        "chain = rolecall.RoleChain(rolecall.Ambient(), 'arn:aws:iam::123456789012:role/Hub')\n"
        "try: chain.aio_session()\n"
        "except ImportError as error: print(json.dumps(str(error)))"
    )

    assert "pip install 'rolecall[aio]'" in said


def test_a_mistake_of_another_kind_is_not_called_a_missing_extra() -> None:
    said = output(
        without("jmespath") + "import json\n"
        "try: import rolecall.aio\n"
        "except ImportError as error: print(json.dumps(str(error)))"
    )

    assert "jmespath" in said
    assert "rolecall[aio]" not in said


def test_without_the_extra_boto3_sessions_work() -> None:
    """Asking whether a session is asynchronous must not need the library."""
    assert output(
        without("aiobotocore", "aioboto3") + "import json, boto3, rolecall\n"
        "session = rolecall.assume_role(\n"
        "    boto3.Session('AKIAFAKE', 'fake-secret', region_name='us-east-1'),\n"
        "    'arn:aws:iam::123456789012:role/Hub')\n"
        "print(json.dumps(session.region_name))"
    ) == ("us-east-1")


def test_all_names_what_there_is() -> None:
    for name in rolecall.aio.__all__:
        assert getattr(rolecall.aio, name).__doc__
    assert sorted(rolecall.aio.__all__) == list(rolecall.aio.__all__)


def test_what_we_return_is_what_aiobotocore_knows() -> None:
    assert issubclass(rolecall.aio.AioRoleSession, aiobotocore.session.AioSession)
    assert issubclass(
        rolecall.aio.AioRefreshingCredentials,
        aiobotocore.credentials.AioRefreshableCredentials,
    )
