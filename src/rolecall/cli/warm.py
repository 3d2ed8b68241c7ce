"""The usual case of ``rolecall credential-process``: what was printed a moment ago is still good.

An AWS SDK or the AWS CLI may start the command before each of its requests. So nothing is imported
here but sys, os and time, which Python has loaded by itself. That is safe because an entry names
the question it answers, whole: the words of the command line, the user, and all of the environment
that AWS tools look at, access key id included; and the state of every file that was read for it.
Whoever asks something else, or has other keys, or has changed a profile, goes the long way, where
the shared store's key holds who assumes (`rolecall.cli.process_cache` writes the entries).

An entry is a file of mode 0600::

    rolecall-process 1
    written_at written_boottime boot_id refresh_at
    (the files, and what changes when they do)
    (the question)
    {"Version": 1, "AccessKeyId": …}
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAGIC = "rolecall-process 1"
STORE = "ROLECALL_STORE"

#: Larger than any entry: a session token is some kilobytes.
MOST_BYTES = 64 * 1024

#: The wall clock was set, if it and the machine's other clock differ by more about an entry's age.
MOST_DRIFT_SECONDS = 5.0

#: Variables called so are part of the question by being there: a key id says whose keys they are.
SECRETS = ("SECRET", "TOKEN", "PASSWORD", "PASSPHRASE")

#: Options whose values are kept as a hash only.
SECRET_OPTIONS = ("--external-id", "--mfa-command", "--policy")
#: Variables that name files.
FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
#: Where files are looked for.
PLACES = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")


def answered(words: "Sequence[str]") -> bool:
    """Print the answer to *words* if it is at hand; return whether it was."""
    environ = os.environ  # noqa: TID251 - border
    place = directory(environ)
    if place is None:
        return False
    asked = question(words, environ)
    try:
        answer = read(os.path.join(place, name_of(asked)), asked)
    except (OSError, ValueError):
        return False
    if answer is None:
        return False
    put(answer)
    return True


def put(answer: str) -> None:
    """Print *answer*; end the process where that cannot be done."""
    if sys.stdout is None:
        sys.exit(1)
    try:
        sys.stdout.write(answer)
        sys.stdout.flush()
    except OSError as error:
        # Or Python, which flushes it once more at exit, complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            sys.exit(128 + 13)  # SIGPIPE: who asked is gone
        if sys.stderr is not None:
            sys.stderr.write(f"rolecall: standard output: {error.strerror}\n")
        sys.exit(1)


def directory(environ: "Mapping[str, str]") -> "str | None":
    """Return where the entries are; None: the user keeps sessions elsewhere than in files."""
    if environ.get(STORE, "").strip() not in ("", "file"):
        return None
    if any("$" in environ.get(name, "") for name in FILES):
        return None  # botocore fills variables in, any one of all there are
    caches = environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(caches):
        home = environ.get("HOME") or environ.get("USERPROFILE") or os.path.expanduser("~")
        caches = os.path.join(home, ".cache")
    return os.path.join(caches, "rolecall", "process")


def question(words: "Sequence[str]", environ: "Mapping[str, str]") -> str:
    """Return everything that the answer depends on, but for what files hold, as ASCII text."""
    seen = [
        (name, "" if is_secret(name) else value)
        for name, value in environ.items()
        if name.startswith("AWS_") or name.startswith("ROLECALL_") or name in PLACES
    ]
    user = os.getuid() if hasattr(os, "getuid") else None
    try:
        here = os.getcwd()  # relative names of files mean others elsewhere
    except OSError:  # it was deleted
        here = ""
    return ascii((without_secrets(words), user, here, sorted(seen)))


def is_secret(name: str) -> bool:
    """Return whether the variable *name* holds a secret, by what it is called."""
    return any(part in name for part in SECRETS) and not name.endswith("_FILE")


def without_secrets(words: "Sequence[str]") -> "list[str]":
    """Return *words* with hashes for what nobody else is to read in an entry."""
    found: list[str] = []
    for word in words:
        option, between, value = word.partition("=")
        if found and found[-1] in SECRET_OPTIONS:
            found.append(name_of(ascii(word)))
        elif between and option in SECRET_OPTIONS:
            found.append(f"{option}={name_of(ascii(value))}")
        else:
            found.append(word)
    return found


def name_of(asked: str) -> str:
    """Return the name of the file for the question *asked*: a hash, and not one to rely on."""
    number = 0xCBF29CE484222325
    for byte in asked.encode():  # FNV-1a, since hashlib would have to be imported
        number = (number ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{number:016x}"


def state_of(path: str) -> "tuple[int, ...] | None":
    """Return what changes when the file *path* does; None: it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def clocks() -> "tuple[float, float | None, str]":
    """Return the wall clock, seconds since the machine started and which start; None: not known."""
    now = time.time()  # noqa: TID251 - border
    number = getattr(time, "CLOCK_BOOTTIME", None)
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            boot = file.read().strip()
        return (now, None, "") if number is None else (now, time.clock_gettime(number), boot)
    except OSError:
        return now, None, ""


def read(path: str, asked: str) -> "str | None":
    """Return the answer that the entry *path* has for the question *asked*, if it still holds.

    Raises:
        OSError, ValueError: there is no such entry, or it is none.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(descriptor)
        if found.st_mode & 0o170000 != 0o100000:  # a plain file
            return None
        if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o077):
            return None
        data = os.read(descriptor, MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MOST_BYTES or len(data) != found.st_size:
        return None
    magic, times, files, of, answer = data.decode("utf-8", "surrogateescape").split("\n", 4)
    if magic != MAGIC or of != asked or not is_fresh(times.split(" ")):
        return None
    return answer if are_as_they_were(files) else None


def is_fresh(times: "Sequence[str]") -> bool:
    """Return whether an entry with these *times* is not yet to be renewed, by both clocks."""
    written_at, written_boot, boot, refresh_at = times
    now, since_boot, this_boot = clocks()
    age = now - float(written_at)
    if this_boot and this_boot == boot and since_boot is not None:
        real_age = since_boot - float(written_boot)
        # Somebody set the clock. The long way knows what to make of it.
        if abs(real_age - age) > MOST_DRIFT_SECONDS:
            return False
    return age >= 0 and now < float(refresh_at)


def are_as_they_were(pins: str) -> bool:
    """Return whether all files of *pins*, which `pin` wrote, are unchanged."""
    return all(pin(one.rpartition("\t")[0]) == one for one in pins.split("\0"))


def pin(path: str) -> str:
    """Return *path* and what changes when the file does."""
    return f"{path}\t{state_of(path)}"
