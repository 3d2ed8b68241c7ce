"""Programs that the pages start and that cannot run here: each does what can be done of it.

``stand_in.py LOG ROOT NAME WORD…`` does as the program NAME does. Most of them ask AWS who they
are, with what credentials they have been given, and note it in LOG.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

#: What a container has of the machine's environment, beside what ``-e`` gives it.
OF_THE_IMAGE = ("PATH", "LANG", "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED", "PYTHONPATH")


def main(log: str, root: str, name: str, *words: str) -> int:
    """Be the program *name*."""
    if name == "aws-vault":
        assert words[0] == "export", words
        print(Path(log).with_name("vault.json").read_text("utf-8"))
        return 0
    if name == "ykman":
        print("654321")
        return 0
    special = {"docker": docker, "pip": pip, "pipx": pip, "make": make, "curl": curl, "jq": jq}
    if name in special:
        return special[name](root, list(words))
    return who(log, name, list(words))


def who(log: str, name: str, words: list[str]) -> int:
    """Ask STS who this is, and note it with what the environment says of it."""
    import botocore.session

    session = botocore.session.get_session()
    # Terraform's provider wants a region of its environment; the others may do without one.
    region = None if name == "terraform" else "us-east-1"
    if region is None:
        session.set_config_variable("sts_regional_endpoints", "regional")
    sts: Any = session.create_client("sts", region_name=region)
    arn = sts.get_caller_identity()["Arn"]
    told = os.environ.get("ROLECALL") or session.profile
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps({"program": name, "words": words, "arn": arn, "told": told}) + "\n")
    if name == "terraform" and words == ["apply"] and sys.stdin.isatty():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("Do you want to perform these actions?\n\n  Enter a value: ", end="", flush=True)
        sys.stdin.readline()
    return 0


def docker(root: str, words: list[str]) -> int:
    """Check ``docker run``, and run its command with what the container would have."""
    if words[:1] == ["build"]:
        return 0
    assert words[:1] == ["run"], words
    given: dict[str, str] = {name: os.environ[name] for name in OF_THE_IMAGE if name in os.environ}
    mounts: list[tuple[str, str]] = []
    network = user = ""
    rest = words[1:]
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in {"--rm", "-i", "-t", "-it"}:
            continue
        value = rest.pop(0)
        if word == "-e":
            name, between, text = value.partition("=")
            if between:
                given[name] = text
            elif name in os.environ:  # docker leaves out what is not there
                given[name] = os.environ[name]
        elif word == "-v":
            source, target = value.split(":")[:2]
            assert Path(source).exists(), f"docker: {source} is not there"
            mounts.append((target, source))
        elif word == "--network":
            network = value
        elif word == "--user":
            user = value
        else:
            raise AssertionError(f"docker: {word} is not known here")
    _, *command = rest
    home = given.get("HOME", "")
    given["HOME"] = next((b[: -len(a) + len(home)] for a, b in mounts if a.startswith(home)), "/")
    # Mounted where it is on the machine, or not there at all.
    for name, value in given.items():
        if name.endswith("_FILE") and not any(value.startswith(a) for a, _ in mounts):
            raise AssertionError(f"docker: {name}={value} is not in the container")
    url = given.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if url and network != "host":
        raise AssertionError("docker: 127.0.0.1 is the container's own")
    if url and user.partition(":")[0] != str(os.getuid()):
        raise AssertionError("docker: the endpoint answers its own user only")
    return subprocess.run(command, env=given, check=False).returncode


def pip(root: str, words: list[str]) -> int:
    """Check that what is installed of rolecall has the extras that are named."""
    assert words[0] in {"install", "inject"}, words
    text = Path(root, "pyproject.toml").read_text("utf-8")
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    known = set(re.findall(r"^([\w-]+) = \[", section, flags=re.MULTILINE))
    for word in words[1:]:
        match = re.fullmatch(r"rolecall(?:\[([\w,-]+)\])?", word)
        if match and match[1]:
            missing = set(match[1].split(",")) - known
            assert not missing, f"{word}: there is no extra {missing}"
    return 0


def make(root: str, words: list[str]) -> int:
    """Say what ``make`` would do, which it must know."""
    make = next(p for p in ("/usr/bin/make", "/bin/make") if os.path.exists(p))
    done = subprocess.run([make, "-n", *words], cwd=root, stdout=subprocess.DEVNULL, check=False)
    return done.returncode


def curl(root: str, words: list[str]) -> int:
    """Be GitHub's token service, for a request that is as GitHub wants it."""
    asked = f"Authorization: Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"
    assert asked in words, words
    url = os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=sts.amazonaws.com"
    assert url in words, words
    print(json.dumps({"count": 1, "value": os.environ["FAKE_GITHUB_TOKEN"]}))
    return 0


def jq(root: str, words: list[str]) -> int:
    """Print one value of an object."""
    assert words[:1] == ["-r"], words
    print(json.load(sys.stdin)[words[1].removeprefix(".")])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
