"""A run that is killed, and the one that goes on where it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import workers

from rolecall.fleet import fan_out
from rolecall.fleet.results.outcomes import Outcome
from rolecall.fleet.results.tally import Summary
from rolecall.testing import StrictCloud

HERE = Path(__file__).parent
ACCOUNTS = [f"{111111111111 + one:012d}" for one in range(6)]
DONE = 3


@pytest.fixture
def ambient(strict_cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> StrictCloud:
    for name, value in strict_cloud.environ().items():
        monkeypatch.setenv(name, value)
    return strict_cloud


@pytest.fixture
def turnstile() -> Iterator[workers.Turnstile]:
    with workers.Turnstile() as turnstile:
        yield turnstile


def killed_run(journal: Path, turnstile: workers.Turnstile, *, processes: bool) -> list[str]:
    """Run until the account after the first `DONE` is begun, and kill all of it."""
    port = turnstile.address[1]
    program = f"workers.audit({str(journal)!r}, {port}, {ACCOUNTS!r}, processes={processes})"
    child = subprocess.Popen(
        [sys.executable, "-c", f"import workers; {program}"],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        start_new_session=True,
    )
    begun = []
    try:
        for number in range(DONE + 1):
            begun.append(turnstile.next())
            if number < DONE:
                turnstile.let_through()
    finally:
        # Its workers as well: nobody tells them that their parent is dead.
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(20)
    turnstile.open()
    return begun


def go_on(journal: Path, turnstile: workers.Turnstile) -> tuple[list[Outcome], Summary]:
    with fan_out(boto3.Session(), ACCOUNTS, role="Reader", journal=journal, job="audit") as run:
        outcomes = list(run.map(workers.Checked(turnstile.address)))
    return outcomes, run.summary


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_a_run_that_was_killed_goes_on_with_what_is_missing(
    ambient: StrictCloud, tmp_path: Path, turnstile: workers.Turnstile, processes: bool
) -> None:
    journal = tmp_path / "run.jsonl"
    begun = killed_run(journal, turnstile, processes=processes)
    before = ambient.calls("AssumeRole")

    outcomes, summary = go_on(journal, turnstile)

    assert ACCOUNTS[: DONE + 1] == begun
    assert ACCOUNTS[DONE:] == sorted(one.value for one in outcomes)
    assert (summary.ok, summary.skipped, summary.not_run) == (3, DONE, ())
    assert ambient.calls("AssumeRole") - before == 3


def test_a_line_that_was_torn_by_the_kill_is_run_again(
    ambient: StrictCloud, tmp_path: Path, turnstile: workers.Turnstile
) -> None:
    journal = tmp_path / "run.jsonl"
    killed_run(journal, turnstile, processes=False)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-9])

    outcomes, summary = go_on(journal, turnstile)
    again, second = go_on(journal, turnstile)

    assert ACCOUNTS[DONE - 1 :] == sorted(one.value for one in outcomes)
    assert summary.skipped == DONE - 1
    assert again == []
    assert len(ACCOUNTS) == second.skipped
