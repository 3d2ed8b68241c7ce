"""Shells complete commands, options and roles, by scripts that they really take."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import Desk

from rolecall.cli import main
from rolecall.cli.completion import VARIABLE, roles_starting

SHELLS = ("bash", "zsh", "fish")


def names(incomplete: str = "") -> list[str]:
    return [item.value for item in roles_starting(incomplete)]


@pytest.fixture
def config(own_home: Path) -> Path:
    (own_home / ".aws").mkdir()
    return own_home / ".aws" / "config"


def test_roles_come_before_other_profiles(config: Path) -> None:
    config.write_text(
        "[default]\nregion = x\n[profile hub]\naws_access_key_id = AKIAFAKE\n"
        "[profile reader]\nrole_arn = arn:aws:iam::123456789012:role/Reader\n"
        "[profile admin]\nsso_account_id = 123456789012\nsso_role_name = Admin\n"
        "[profile tool]\ncredential_process = /opt/tool\n"
    )

    found = [(item.value, item.help) for item in roles_starting("")]

    assert found == [
        ("reader", "arn:aws:iam::123456789012:role/Reader"),
        ("admin", "Admin in 123456789012 by SSO"),
        ("default", "a profile"),
        ("hub", "keys"),
        ("tool", "a credential_process"),
    ]
    assert names("re") == ["reader"]
    assert names("x") == []


@pytest.mark.parametrize("text", ["nonsense", "[a]\n[a]\n", "\xff\xfe[", "[profile"])
def test_a_file_that_is_broken_completes_nothing_and_says_nothing(
    config: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config.write_bytes(text.encode("latin-1"))

    assert names() == []
    assert capfd.readouterr() == ("", "")


def test_a_home_without_files_completes_nothing() -> None:
    assert names() == []


def test_names_that_a_shell_would_take_apart_are_left_out(config: Path) -> None:
    odd = ["$(touch x)", "`id`", "a;b", "a b", "a'b", 'a"b', "a*", "a\tb", "a\\b", "a!b", "~", "#x"]
    lines = [f"['{one}']\n" for one in odd]
    credentials = config.with_name("credentials")
    credentials.write_text("".join(f"[{one}]\nregion = x\n" for one in [*odd, "a.b-c_d@e+f"]))

    assert lines
    assert names() == ["a.b-c_d@e+f"]


def test_a_role_whose_help_has_several_lines_is_one_line(config: Path) -> None:
    config.write_text("[profile reader]\nrole_arn = arn:aws\n  more\n")

    (item,) = roles_starting("")

    assert item.help == "arn:aws more"


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_is_given_a_script_that_asks_rolecall(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) in (None, 0)

    said = capsys.readouterr()
    assert f"{VARIABLE}={shell}_complete" in said.out
    assert said.err == ""


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("shell", "line", "expected"),
    [
        ("zsh", "rolecall exec rea", "plain\nreader\n{arn}\n"),
        ("zsh", "rolecall exp", "plain\nexport\nPrint a role's keys for a shell or a file.\n"),
        ("bash", "rolecall console rea", "plain,reader\n"),
        ("bash", "rolecall export --for", "plain,--format\n"),
        ("zsh", "rolecall credential-process rea", "plain\nreader\n{arn}\n"),
        ("zsh", "rolecall serve rea", "plain\nreader\n{arn}\n"),
        ("zsh", "rolecall serve live=rea", "plain\nlive=reader\n{arn}\n"),
        ("zsh", "rolecall serve live=deploy test=rea", "plain\ntest=reader\n{arn}\n"),
        ("bash", "rolecall serve live=rea", "plain,live=reader\n"),
        ("bash", "rolecall serve live=x", "\n"),
        ("bash", "rolecall whoami arn:aws:iam::123456789012:role/x --profile hu", "plain,hub\n"),
        ("bash", "rolecall exec arn:aws:iam::123456789012:role/x --profile hu", "plain,hub\n"),
    ],
)
def test_what_a_shell_asks_is_answered_in_its_form(
    desk: Desk, capsys: pytest.CaptureFixture[str], shell: str, line: str, expected: str
) -> None:
    desk.environ.update(
        {VARIABLE: f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    )

    with pytest.raises(SystemExit) as end:
        desk.here(capsys.readouterr)

    assert end.value.code in (None, 0)
    assert capsys.readouterr().out == expected.format(arn=desk.arns["reader"])


# With the shells themselves, where they are installed

LINES = [
    ("rolecall who", "whoami"),
    ("rolecall whoami rea", "reader"),
    ("rolecall cache c", "clear"),
    # It takes words apart at = and replaces the last.
    ("rolecall serve live = rea", "reader"),
]

BASH = """
COMP_WORDS=({line}); COMP_CWORD={last}; COMPREPLY=()
_rolecall_completion rolecall {word} {before}
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p rolecall
"""


def test_bash_completes_with_the_script(desk: Desk) -> None:
    script = "source <(rolecall completion bash)"
    for line, _ in LINES:
        words = line.split()
        script += BASH.format(line=line, last=len(words) - 1, word=words[-1], before=words[-2])

    done = _run(desk, "bash", "--norc", "-c", script)

    hooked = "complete -o nosort -F _rolecall_completion rolecall"
    assert done.stdout.splitlines() == [
        text for _, expected in LINES for text in (expected, hooked)
    ]
    assert done.stderr == ""


def test_other_shells_that_are_installed_take_the_script(desk: Desk) -> None:
    zsh = 'autoload -U compinit; compinit -D; eval "$(rolecall completion zsh)"; '
    for shell, script, expected in (
        ("zsh", zsh + "print $_comps[rolecall]", "_rolecall_completion"),
        (
            "fish",
            "rolecall completion fish | source; complete --do-complete 'rolecall whoami rea'",
            "reader",
        ),
    ):
        if shutil.which(shell, path=desk.environ["PATH"]) is None:
            continue  # what they ask is answered above
        done = _run(desk, shell, "-c", script)

        assert done.stdout.split()[:1] == [expected], done.stderr


def _run(desk: Desk, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env=desk.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
