"""What is wrong with the profiles of ``~/.aws/config``: rules over values, nothing is looked up."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ..chain import CredentialSource, Profile, RoleChain, chain_of_profile, role_problems
from ..errors import ConfigError, Problem
from .config_files import File, Files
from .config_sections import OWN_CREDENTIALS, Finding, of_file, of_sections

#: Sessions of a role, so that what they assume is role chaining.
_SESSION_SOURCES = ("Ec2InstanceMetadata", "EcsContainer")
_SSO = ("sso_session", "sso_start_url")

_KEYS = ("aws_access_key_id", "aws_secret_access_key")

#: boto3's spelling of an argument → the key of a profile.
_KEY_OF = {
    "RoleArn": "role_arn",
    "RoleSessionName": "role_session_name",
    "DurationSeconds": "duration_seconds",
    "ExternalId": "external_id",
    "SerialNumber": "mfa_serial",
    "token_file": "web_identity_token_file",
    "credential_source": "credential_source",
}


def check(files: Files) -> list[Finding]:
    """Return everything that is wrong, profile by profile; empty if nothing is.

    Where it is empty, a chain can be built of each profile, and breaks no documented limit.
    """
    found = [*of_file(files.config), *of_file(files.credentials), *of_sections(files)]
    environ = {"AWS_CONFIG_FILE": files.config.name}
    sessions = files.sso_sessions
    seen: set[str] = set()
    for name in files.profiles:
        for one in _Rules(name, files, sessions, environ).findings():
            # What is wrong with a source is wrong with all that start from it: said once.
            key = one.message if one.rule == "loop" else f"{one.profile} {one.rule} {one.message}"
            if key not in seen:
                seen.add(key)
                found.append(one)
    return found


def source_path(name: str, profiles: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the profiles that lead to *name*, itself first; it ends where one comes up again."""
    path: list[str] = []
    while name in profiles and name not in path:
        path.append(name)
        source = profiles[name].get("source_profile")
        ends = "role_arn" not in profiles[name] or "web_identity_token_file" in profiles[name]
        keyed = len(path) > 1 and any(key in profiles[name] for key in _KEYS)
        if ends or keyed or not isinstance(source, str):
            break
        name = source
    return path


class _Rules:
    """The rules for one profile."""

    def __init__(
        self,
        name: str,
        files: Files,
        sessions: Mapping[str, set[str]],
        environ: Mapping[str, str],
    ) -> None:
        self.name = name
        self.sessions = sessions
        self.files = files
        self.profiles = files.profiles
        self.values = files.profiles[name]
        self.environ = environ

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the profile."""
        chain = None
        try:
            chain = chain_of_profile(self.name, self.profiles, self.environ)
        except ConfigError as error:
            yield self._config_error(error)
        if chain is not None:
            yield from self._limits(chain)
            yield from self._source(chain)
        yield from self._sso()
        yield from self._keys()
        yield from self._process()

    def _finding(
        self, rule: str, message: str, hint: str, *keys: str, severity: str = "error"
    ) -> Finding:
        return self._finding_of(self.name, rule, message, hint, *keys, severity=severity)

    def _finding_of(
        self, profile: str, rule: str, message: str, hint: str, *keys: str, severity: str = "error"
    ) -> Finding:
        file, line = self.files.place(profile, *keys)
        return Finding(
            rule=rule,
            severity=severity,
            profile=profile,
            file=file,
            line=line,
            message=message,
            hint=hint,
        )

    def _config_error(self, error: ConfigError) -> Finding:
        """Return what keeps a chain from being built, of the profile whose fault it is."""
        path = error.context.get("path")
        if path:
            ring = path[path.index(path[-1]) : -1]
            at = ring.index(min(ring))  # the same for all who come to it
            ring = [*ring[at:], *ring[:at]]
            walked = " -> ".join([*ring, ring[0]])
            return self._finding_of(
                ring[0],
                "loop",
                f"source profiles go round in a circle: {walked}",
                error.hint,
                "source_profile",
            )
        for name in reversed(source_path(self.name, self.profiles)):
            head = f"profile {name!r} in {self.environ['AWS_CONFIG_FILE']}: "
            if error.message.startswith(head):
                what = error.message.removeprefix(head)
                rule, key = _rule_of(what)
                return self._finding_of(name, rule, what, error.hint, key)
        return self._finding("profile", error.message, error.hint)

    def _problem(self, problem: Problem) -> Finding:
        key = _KEY_OF.get(problem.field.partition("[")[0], "role_arn")
        cite = f" [{problem.source}]" if problem.source else ""
        hint = f"mend {key}" if key in self.values else "see the limits of STS"
        return self._finding("limit", f"{key} {problem.message}{cite}", hint, key)

    def _limits(self, chain: RoleChain) -> Iterator[Finding]:
        """Yield the limits that the profile's own role breaks; its sources say theirs."""
        last = len(chain.roles) - 1 if chain.roles else None
        problems = [one for one in chain.problems() if one.hop == last]
        if last == 0 and self._starts_from_a_session(chain):
            # A chain cannot know what its origin is; here it is written down.
            for one in role_problems(chain.roles[0], 0, chained=True):
                if one not in problems:
                    problems.append(one)
        for problem in problems:
            yield self._problem(problem)

    def _starts_from_a_session(self, chain: RoleChain) -> bool:
        origin = chain.origin
        if isinstance(origin, CredentialSource):
            return origin.name in _SESSION_SOURCES
        if isinstance(origin, Profile):
            source = self.profiles.get(origin.name, {})
            return not any(key in source for key in _KEYS) and any(key in source for key in _SSO)
        return not isinstance(origin, Profile)  # a web identity

    def _source(self, chain: RoleChain) -> Iterator[Finding]:
        if not chain.roles:
            return
        serial = chain.roles[-1].mfa_serial
        if serial is not None and (len(chain.roles) > 1 or self._starts_from_a_session(chain)):
            yield self._finding(
                "mfa-in-chain",
                "has an mfa_serial, but is assumed by a role's session, which has no MFA device",
                "move mfa_serial to the first role, which a user assumes",
                "mfa_serial",
            )
        origin = chain.origin
        if isinstance(origin, Profile) and len(chain.roles) == 1:
            source = self.profiles.get(origin.name, {})
            if not any(key in source for key in OWN_CREDENTIALS):
                yield self._finding(
                    "empty-source",
                    f"its source_profile {origin.name!r} has no credentials",
                    f"give {origin.name!r} keys, SSO or a credential_process, or name another",
                    "source_profile",
                )

    def _sso(self) -> Iterator[Finding]:
        session = self.values.get("sso_session")
        if not isinstance(session, str):
            return
        known = self.sessions
        if session not in known:
            yield self._finding(
                "missing-sso-session",
                f"its sso_session {session!r} does not exist",
                f"add [sso-session {session}] with sso_start_url and sso_region",
                "sso_session",
            )
            return
        missing = [key for key in ("sso_start_url", "sso_region") if key not in known[session]]
        if missing:
            yield self._finding(
                "incomplete-sso-session",
                f"its sso_session {session!r} has no {' and no '.join(missing)}",
                f"add it to [sso-session {session}]",
                "sso_session",
            )

    def _keys(self) -> Iterator[Finding]:
        values = self.values
        both = [
            key for key in self._of(self.files.config) if key in self._of(self.files.credentials)
        ]
        if both:
            yield self._finding(
                "in-both-files",
                f"{', '.join(both)}: in both files; what {self.files.config.name} says is not used",
                "leave one of them",
                *both,
                severity="warning",
            )
        has = [key for key in _KEYS if values.get(key)]
        if len(has) == 1:
            missing = next(key for key in _KEYS if key not in has)
            yield self._finding(
                "half-keys", f"has {has[0]} and no {missing}", f"add {missing}", *has
            )
        if not has:
            return
        others = [key for key in ("role_arn", "credential_process", *_SSO) if key in values]
        if others and values.get("source_profile") != self.name:
            yield self._finding(
                "shadowing-keys",
                f"has keys of its own beside {' and '.join(others)}: which are used depends on the "
                "tool, and on whether the profile is named itself or as a source_profile",
                "move the keys to a profile of their own, and name that as source_profile",
                *_KEYS,
                severity="warning",
            )
        if self.name == "default":
            yield self._finding(
                "default-keys",
                "keys in the default profile are used wherever no profile is named, before those "
                "of a container or an instance",
                "move them to a profile with a name, and say AWS_PROFILE where it is meant",
                *_KEYS,
                severity="warning",
            )

    def _of(self, file: File) -> Mapping[str, Any]:
        return file.profiles.get(self.name, {})

    def _process(self) -> Iterator[Finding]:
        """Yield a credential_process of ours that asks for what it is itself the source of."""
        path = [self.name]
        while True:
            following = self._asked(path[-1])
            if following is None:
                return
            if following in path:
                break
            path.append(following)
        if following == self.name and "credential_process" in self.values:
            yield self._finding(
                "process-loop",
                "its credential_process needs the profile itself: "
                + " -> ".join([*path, following]),
                "let it name a profile that has role_arn and a source of its own",
                "credential_process",
            )

    def _asked(self, name: str) -> str | None:
        """Return the profile that *name* gets its credentials from, by ours or by AWS's words."""
        values = self.profiles.get(name, {})
        source, process = values.get("source_profile"), values.get("credential_process")
        if "role_arn" in values and isinstance(source, str) and source != name:
            return source
        try:
            words = shlex.split(process) if isinstance(process, str) else []
        except ValueError:
            return None
        ours = len(words) > 2 and os.path.basename(words[0]).startswith("rolecall")
        if not ours or words[1] != "credential-process":
            return None
        return next((word for word in words[2:] if word in self.profiles), None)


def _rule_of(message: str) -> tuple[str, str]:
    """Return the rule that a `ConfigError` of a profile is, and the key it is about."""
    for words, rule, key in (
        ("does not exist", "missing-source", "source_profile"),
        ("unknown credential_source", "unknown-credential-source", "credential_source"),
        ("both source_profile and credential_source", "two-sources", "credential_source"),
        ("neither source_profile nor", "no-source", "role_arn"),
        ("no role_arn", "no-role", "web_identity_token_file"),
        ("duration_seconds", "bad-duration", "duration_seconds"),
    ):
        if words in message:
            return rule, key
    return "profile", "role_arn"
