"""The fixtures that users get by installing rolecall."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "rolecall.testing.pytest_plugin"


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Return a function that runs a test file as a user's project does, in another process."""

    def run_file(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        installed = any(one.value == PLUGIN for one in entry_points(group="pytest11"))
        # From a checkout that is not installed, pytest does not find the plugin by itself.
        extra = () if installed else ("-p", PLUGIN)
        return pytester.runpytest_subprocess(
            "--strict-markers", "-p", "no:randomly", *extra, *arguments, timeout=60
        )

    return run_file


def test_the_project_registers_the_plugin() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")

    assert f'[project.entry-points.pytest11]\nrolecall = "{PLUGIN}"\n' in project


def test_a_user_can_test_expiry_with_the_fixtures(run) -> None:
    result = run(
        """
        from datetime import timedelta

        import pytest
        from botocore.exceptions import ClientError

        @pytest.mark.strict_cloud(lifetime=timedelta(seconds=5))
        def test_expiry(strict_cloud, fake_clock):
            sts = strict_cloud.session().client("sts")
            role = strict_cloud.role("Reader")
            keys = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
            assert (keys["Expiration"] - fake_clock.now).total_seconds() == 5

        def test_a_cloud_is_fresh_and_tells_the_real_time_by_default(strict_cloud):
            assert strict_cloud.calls() == 0
            assert strict_cloud.lifetime is None
            sts = strict_cloud.session().client("sts")
            answer = sts.get_caller_identity()
            assert "2030" not in answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        """
    )

    result.assert_outcomes(passed=2)


def test_the_fake_source_tells_time_by_the_fake_clock(run) -> None:
    result = run(
        """
        from datetime import timedelta

        def test_source(fake_source, fake_clock):
            assert fake_source.clock is fake_clock
            fake_clock.tick(minutes=5)
            assert fake_source.get().expires_at - fake_clock.now == timedelta(hours=1)
            assert fake_source.calls == 1
        """
    )

    result.assert_outcomes(passed=1)


def test_the_cloud_is_stopped_when_its_test_fails(run) -> None:
    result = run(
        """
        def test_fails(strict_cloud):
            assert False

        def test_next(strict_cloud):
            pass
        """
    )

    result.assert_outcomes(passed=1, failed=1)


def test_fixtures_and_marker_are_listed(run) -> None:
    listed = run("", "--fixtures", "--markers")

    listed.stdout.fnmatch_lines(["*strict_cloud(lifetime)*"])


def test_the_plugin_loads_neither_boto3_nor_moto() -> None:
    program = (
        f"import sys; import {PLUGIN}; "
        "print([name for name in ('boto3', 'botocore', 'moto', 'cheroot') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"
