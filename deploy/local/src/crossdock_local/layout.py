"""Paths of a stack. All of its files are below one folder; removing the folder removes the stack.

Only the owner can read the files: they contain passwords, keys, and the orders and addresses of customers.
"""

import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crossdock_cli.clone import checkout
from crossdock_cli.errors import CommandError


def default_home() -> Path:
    return Path(os.environ.get("CROSSDOCK_HOME") or checkout() / ".crossdock")


def downloads() -> Path:
    """Return the folder of Kafka's jars and of the built console. All stacks of a clone share them."""
    return Path(os.environ.get("CROSSDOCK_DOWNLOADS") or checkout() / ".crossdock" / "kafka")


OWNER_ONLY = 0o077
"""The umask of every process of a stack."""


@dataclass(frozen=True)
class Home:
    """The folder of one stack. Looking at a stack creates nothing; `make` creates the folder."""

    root: Path

    def make(self) -> None:
        """Create the folder and close it to other users. Close also what an older version left open.

        If the folder existed before, its own mode stays, because it may hold other files too.
        """
        self.root.parent.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.run, self.logs, self.secrets):
            folder.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.run, self.logs, self.secrets, self.broker, self.issuer):
            if folder.exists():
                folder.chmod(0o700)

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

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
    def mail(self) -> Path:
        """Return the folder of the mails that the post office keeps."""
        return self.root / "mail"

    @property
    def console(self) -> Path:
        """Return the link to the build of the console that this stack serves."""
        return self.root / "console"

    @property
    def replayed(self) -> Path:
        """Return the file that exists after the trading day was replayed into this stack's databases."""
        return self.root / "replayed.json"

    @property
    def together(self) -> Path:
        """Return the file that exists if each service of this stack runs as one process."""
        return self.root / "together.json"

    def secret(self, name: str) -> str:
        """Return the password `name`. It is created once, in a file that only its owner can read.

        The file appears with its content, because others may ask for the password at the same time.
        """
        self.make()
        file = self.secrets / name
        if not file.exists():
            descriptor, temporary = tempfile.mkstemp(dir=self.secrets, prefix=f".{name}.")
            try:
                with os.fdopen(descriptor, "w") as stream:
                    stream.write(secrets.token_hex(16))
                with suppress(FileExistsError):
                    os.link(temporary, file)
            finally:
                os.unlink(temporary)
        return file.read_text()

    def has_secret(self, name: str) -> bool:
        return (self.secrets / name).exists()

    def require_space(self, megabytes: int, what: str) -> None:
        """Raise CommandError if the disk has less free space than `what` needs."""
        self.make()
        free = shutil.disk_usage(self.root).free // 1_000_000
        if free < megabytes:
            raise CommandError(
                f"{what} needs {megabytes} MB and the disk of {self.root} has {free} MB left: free some space first."
            )


def private(file: str | Path, flags: int) -> int:
    """Open a file that only its owner can read: the `opener` of `open`."""
    return os.open(file, flags, 0o600)


def write(file: Path, text: str) -> None:
    """Write the file whole or not at all, and readable by its owner only."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
