"""The applications that may send people to the issuer. The launcher writes them, the issuer reads them.

It needs the standard library only, because the launcher imports it at each start.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crossdock_local.layout import write


@dataclass(frozen=True, slots=True)
class Application:
    """A confidential client. Its addresses are compared as they are, character by character."""

    id: str
    secret_sha256: str
    """Hexadecimal. A plain digest suffices, because the secret is random and long."""
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]

    def has(self, secret: str) -> bool:
        return hmac.compare_digest(_digest(secret), self.secret_sha256)


def application(id: str, secret: str, redirect_uris: Sequence[str], after_logout: Sequence[str]) -> Application:
    return Application(id, _digest(secret), tuple(redirect_uris), tuple(after_logout))


def keep_applications(home: Path, applications: Sequence[Application]) -> None:
    """Write the applications into the issuer's folder. A running issuer knows them at once."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(_file(home), json.dumps([asdict(each) for each in applications], indent=1))


class Applications:
    """The applications in the file. A changed file is read again."""

    def __init__(self, home: Path) -> None:
        self._file, self._stamp, self._by_id = _file(home), (0, 0, 0), dict[str, Application]()

    def find(self, id: str) -> Application | None:
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            return None
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        if stamp != self._stamp:
            self._by_id = {each["id"]: _application(each) for each in json.loads(self._file.read_text())}
            self._stamp = stamp
        return self._by_id.get(id)


def _application(stored: dict[str, object]) -> Application:
    redirects, after = stored["redirect_uris"], stored["post_logout_redirect_uris"]
    assert isinstance(redirects, list) and isinstance(after, list)
    return Application(str(stored["id"]), str(stored["secret_sha256"]), tuple(redirects), tuple(after))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _file(home: Path) -> Path:
    return home / "applications.json"
