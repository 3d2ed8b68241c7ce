"""A session bus and a GNOME keyring of one's own, as a desktop has them.

Debian's ``dbus-daemon`` and ``gnome-keyring-daemon``. All of their files are in one folder, the bus
is a socket in it, and it starts nothing by itself, so that what was killed stays dead. Nothing
outlives `Desktop.stop`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from jeepney import MatchRule, message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

PATIENCE_SECONDS = 20.0
PROGRAMS = {"dbus-daemon": "dbus-daemon", "gnome-keyring-daemon": "gnome-keyring"}
PASSWORD = "fake-password-of-the-login-keyring"
SECRETS = "org.freedesktop.secrets"

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={directory}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class Desktop:
    """A bus, and on it a Secret Service whose login keyring is unlocked.

    Attributes:
        home: The home directory of who is logged in.
    """

    def __init__(self, directory: Path) -> None:
        missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
        if missing:
            raise RuntimeError(
                "the keyring was not tested: on Debian or Ubuntu, "
                f"apt-get install --no-install-recommends {' '.join(missing)}"
            )
        self.home: Path = directory / "home"
        self.runtime: Path = directory / "run"
        for path in (self.home, self.runtime):
            path.mkdir(mode=0o700)
        self.address: str = ""
        self._bus: subprocess.Popen[str] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    def environ(self) -> dict[str, str]:
        """Return what a program of this desktop has in its environment."""
        return {
            "DBUS_SESSION_BUS_ADDRESS": self.address,
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def start(self) -> None:
        """Start both, and return when the keyring answers."""
        config = self.runtime / "bus.conf"
        config.write_text(BUS.format(directory=self.runtime))
        self._bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._bus.stdout is not None
        self.address = self._bus.stdout.readline().strip()
        if not self.address:
            raise RuntimeError("dbus-daemon did not start")
        self.start_daemon()

    def start_daemon(self) -> None:
        """Start the keyring and log in: the password is in its stdin, as PAM does it."""
        rule = MatchRule(
            type="signal",
            sender="org.freedesktop.DBus",
            interface="org.freedesktop.DBus",
            member="NameOwnerChanged",
        )
        rule.add_arg_condition(0, SECRETS)
        with open_dbus_connection(self.address) as connection:
            Proxy(message_bus, connection).AddMatch(rule)
            with connection.filter(rule) as comes:
                self._daemon = subprocess.Popen(
                    ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={"PATH": "/usr/bin:/bin", **self.environ()},
                )
                assert self._daemon.stdin is not None
                self._daemon.stdin.write(PASSWORD.encode())
                self._daemon.stdin.close()
                connection.recv_until_filtered(comes, timeout=PATIENCE_SECONDS)

    def freeze(self) -> None:
        """Let the keyring hang: it is there and does not answer."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGCONT)

    def kill_daemon(self) -> None:
        """End the keyring as a crash does; the bus stays."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait(PATIENCE_SECONDS)
            self._daemon = None

    def kill_bus(self) -> None:
        """End the bus as a crash does."""
        if self._bus is not None:
            self._bus.kill()
            self._bus.communicate(timeout=PATIENCE_SECONDS)
            self._bus = None

    def stop(self) -> None:
        """End both."""
        self.kill_daemon()
        self.kill_bus()
