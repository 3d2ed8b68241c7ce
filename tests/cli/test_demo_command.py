"""``rolecall demo`` runs the demonstration, or says in a line what it takes."""

from __future__ import annotations

import os
import sys

import pytest

from rolecall.cli import main


def test_the_demo_runs_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["AWS_PROFILE"] = "fake-profile"

    code = main(["demo", "--seconds", "1.5", "--lifetime", "1", "--plain"])

    assert code in (None, 0), capsys.readouterr().err
    assert "with rolecall" in capsys.readouterr().out
    assert os.environ["AWS_PROFILE"] == "fake-profile"


@pytest.mark.parametrize("name", ["moto", "cheroot"])
def test_without_its_extra_it_says_in_one_line_how_to_get_it(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)

    code = main(["demo"])

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err == "rolecall: its demo is an extra: pipx install 'rolecall[cli,testing]'\n"


@pytest.mark.parametrize(
    "words", [["--seconds", "1", "--lifetime", "2"], ["--lifetime", "0"], ["--seconds", "nan"]]
)
def test_times_in_which_nothing_expires_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *words]) == 2
    assert capsys.readouterr().out == ""
