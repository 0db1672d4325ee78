"""Paths of a stack. All of its files are below one folder; removing the folder removes the stack."""

import os
import secrets
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from crossdock_cli.clone import checkout
from crossdock_cli.errors import CommandError


def default_home() -> Path:
    return Path(os.environ.get("CROSSDOCK_HOME") or checkout() / ".crossdock")


def downloads() -> Path:
    """Return the folder of Kafka's jars. They are downloaded once per clone; stack and tests share them."""
    return Path(os.environ.get("CROSSDOCK_DOWNLOADS") or checkout() / ".crossdock" / "kafka")


@dataclass(frozen=True)
class Home:
    """The folder of one stack."""

    root: Path

    @cached_property
    def run(self) -> Path:
        return self._made("run")

    @cached_property
    def logs(self) -> Path:
        return self._made("logs")

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def issuer(self) -> Path:
        return self.root / "issuer"

    @property
    def replayed(self) -> Path:
        """Return the file that exists after the trading day was replayed into this stack's databases."""
        return self.root / "replayed.json"

    def secret(self, name: str) -> str:
        """Return the password `name`. It is created once, in a file that only its owner can read."""
        file = self._made("secrets") / name
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return file.read_text()
        with os.fdopen(descriptor, "w") as stream:
            password = secrets.token_hex(16)
            stream.write(password)
        return password

    def has_secret(self, name: str) -> bool:
        return (self.root / "secrets" / name).exists()

    def require_space(self, megabytes: int, what: str) -> None:
        """Raise CommandError if the disk has less free space than `what` needs."""
        self.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free // 1_000_000
        if free < megabytes:
            raise CommandError(
                f"{what} needs {megabytes} MB and the disk of {self.root} has {free} MB left: free some space first."
            )

    def _made(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def size_of(folder: Path) -> int:
    """Return the bytes that the files below `folder` take on the disk (Kafka's index files are mostly holes)."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
