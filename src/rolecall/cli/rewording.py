"""Naming the same role once more: for a person to type, and for a profile to run."""

from __future__ import annotations

import shlex

from ..errors import ConfigError
from .naming import policy_path
from .options import OPTIONS, Asked

#: What a line of a profile cannot have: some SDKs take the latter two for comments.
_NOT_IN_A_PROFILE = ("\r", "\n", "\0", " #", " ;", "\t#", "\t;")


def again(asked: Asked) -> list[str]:
    """Return the words that name the same role once more, from whichever directory."""
    words = []
    for option in OPTIONS:
        value = getattr(asked, option.field)
        for one in value if option.many else [value]:
            if one is not None:
                words.append(f"{option.flag}={one}")
    path = policy_path(asked.policy)
    if asked.policy is not None:
        compact = " ".join(asked.policy.split("\n")) if path is None else f"file://{path}"
        words = [word for word in words if not word.startswith("--policy=")]
        words.append(f"--policy={compact}")
    return [*words, "--", *([asked.role] if asked.role else [])]


def for_a_profile(asked: Asked) -> list[str]:
    """Return the words of `again` for a profile's ``credential_process``.

    Raises:
        ConfigError: they do not fit there.
    """
    words = again(asked)
    if any(sign in word for word in words for sign in _NOT_IN_A_PROFILE):
        raise ConfigError(
            "with --via process all options go on one line of a profile, where one of them would "
            "be cut off",
            hint="leave line ends and # or ; after a blank out of it, or leave --via process out",
        )
    return words


def who(asked: Asked) -> str:
    """Return the command line that asks for a code, if one is needed for that very session."""
    words = again(asked)
    plain = words[:-2] + words[-1:] if words[-1:] != ["--"] else words[:-1]
    return shlex.join(["rolecall", "whoami", *plain])
