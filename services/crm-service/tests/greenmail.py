"""GreenMail, a real server for IMAP and SMTP in Java. Its jar (Apache-2.0) is downloaded once and checked."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext

from crossdock_local.layout import downloads
from crossdock_local.ports import HOST, free_ports, is_open
from crossdock_local.servers import jars

VERSION = "2.1.5"
SHA256 = "4649d8d16eca356b3812b992a278d8af9f2d2ab32b3e1f6d266603c59336087e"
USER, PASSWORD = "support@crm.test", "secret"
SECONDS = 30


@dataclass(frozen=True, slots=True)
class GreenMail:
    smtp: int
    imap: int


@contextmanager
def started() -> Iterator[GreenMail]:
    """Run the server on free ports, with one mailbox: USER, PASSWORD."""
    ports = free_ports()
    server = GreenMail(next(ports), next(ports))
    options = {
        "smtp.hostname": HOST,
        "smtp.port": server.smtp,
        "imap.hostname": HOST,
        "imap.port": server.imap,
        "users": f"{USER.partition('@')[0]}:{PASSWORD}@{USER.partition('@')[2]}",
        "users.login": "email",
    }
    arguments = [jars.java(), "-Xmx128m", *(f"-Dgreenmail.{name}={value}" for name, value in options.items())]
    process = subprocess.Popen([*arguments, "-jar", str(_jar())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + SECONDS
        while not (is_open(server.smtp) and is_open(server.imap)):
            assert process.poll() is None and time.monotonic() < until, "GreenMail does not start"
            time.sleep(0.05)
        yield server
    finally:
        process.kill()
        process.wait()


def _jar() -> Path:
    kept = downloads() / f"greenmail-{VERSION}-{SHA256[:12]}.jar"
    if not kept.exists():
        project = MavenContext(timeout=60).project("com.icegreen", "greenmail-standalone")
        found = Path(project.at_version(VERSION).artifact().resolve())
        assert hashlib.sha256(found.read_bytes()).hexdigest() == SHA256, "GreenMail is not the expected file"
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(found, fresh)
        fresh.rename(kept)
    return kept
