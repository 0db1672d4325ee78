"""Read a mailbox over IMAP. Each call blocks and takes seconds, so it runs in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from imapclient import IMAPClient

SECONDS: Final = 20.0
BATCH: Final = 50
BATCH_BYTES: Final = 32 << 20


class Position(NamedTuple):
    """All mails up to `uid` are stored. Another `validity` means that the server has numbered the mails anew."""

    validity: int
    uid: int


class Fetched(NamedTuple):
    """A mail. If it is `cut`, it is too large, and `raw` has its header only."""

    uid: int
    raw: bytes
    cut: bool


class Batch(NamedTuple):
    validity: int
    mails: list[Fetched]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A folder of an IMAP server. It is opened to read only: nothing is marked, moved or deleted."""

    host: str
    port: int
    user: str
    password: str
    tls: bool
    folder: str
    largest: int

    @property
    def name(self) -> str:
        return f"{self.user}@{self.host}/{self.folder}"

    def fetch(self, after: Position | None) -> Batch:
        """Return the mails after a position, the oldest first: at most BATCH, and the first that exceed BATCH_BYTES."""
        with self._opened() as server:
            validity = int(server.select_folder(self.folder, readonly=True)[b"UIDVALIDITY"])
            last = after.uid if after is not None and after.validity == validity else 0
            # `n:*` always has the last mail, also if its number is lower.
            uids = sorted(uid for uid in server.search(["UID", f"{last + 1}:*"]) if uid > last)[:BATCH]
            sizes = server.fetch(uids, ["RFC822.SIZE"]) if uids else {}
            mails: list[Fetched] = []
            for uid in uids:
                if uid not in sizes:  # it was deleted meanwhile
                    continue
                if sum(len(each.raw) for each in mails) > BATCH_BYTES:
                    break
                mails += self._fetch(server, uid, sizes[uid][b"RFC822.SIZE"])
            return Batch(validity, mails)

    def _fetch(self, server: "IMAPClient", uid: int, size: int) -> list[Fetched]:
        if size <= self.largest:
            raw = server.fetch([uid], ["BODY.PEEK[]"]).get(uid, {}).get(b"BODY[]")
            if raw is None or len(raw) <= self.largest:
                return [] if raw is None else [Fetched(uid, raw, cut=False)]
        header = server.fetch([uid], ["BODY.PEEK[HEADER]"]).get(uid, {}).get(b"BODY[HEADER]")
        return [] if header is None else [Fetched(uid, header, cut=True)]

    @contextmanager
    def _opened(self) -> Iterator["IMAPClient"]:
        from imapclient import IMAPClient  # noqa: PLC0415  (13 MB, which a worker without a mailbox does not need)

        with IMAPClient(self.host, port=self.port, ssl=self.tls, timeout=SECONDS) as server:
            server.login(self.user, self.password)
            yield server
