"""Find each place of a stack that still holds a text: topics, dumps of the databases, logs and other files.

Three folders are left out. `broker` holds the topics, and `postgres` the databases, which are searched whole. `mail` is
the post office, which stands for the mailboxes of other people: no erasure reaches them.
"""

import asyncio
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
from harness import Harness

from crossdock_events import CATALOGUE
from crossdock_local.servers.postgres import _binaries, database_in

LEFT_OUT = {"broker", "postgres", "mail"}


def forms(text: str) -> Sequence[bytes]:
    """Return the bytes by which the text is found: as it is, in base64 at any place, and each in hexadecimal."""
    plain = text.encode()
    encoded = [b64encode(b"\0" * shift + plain)[(0, 2, 3)[shift] :] for shift in range(3)]
    inner = [each[:-4] if each.endswith(b"=") else each for each in encoded]  # the end depends on what follows
    raw = [plain, plain.upper(), *inner]
    return [*raw, *(each.hex().encode() for each in raw)]


async def databases(harness: Harness) -> Sequence[str]:
    admin = await asyncpg.connect(harness.stack.servers.databases.admin_dsn)
    try:
        rows = await admin.fetch("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")
    finally:
        await admin.close()
    return [row["datname"] for row in rows]


def dump(harness: Harness, database: str, *options: str) -> bytes:
    dsn = database_in(harness.stack.servers.databases.admin_dsn, database)
    return subprocess.run([_binaries() / "pg_dump", *options, dsn], capture_output=True, check=True).stdout


def restore(dsn: str, dumped: bytes) -> None:
    """Restore a dump that `dump` made with `-Fc`. The tables belong to the role of the DSN."""
    subprocess.run([_binaries() / "pg_restore", "--no-owner", "--no-acl", "-d", dsn], input=dumped, check=True)


async def remains(harness: Harness, text: str) -> set[str]:
    """Return each place that has the text: `topic …`, `table … of …` and `file …`."""
    looked_for = forms(text)
    found = set()
    log = await harness.log(*sorted({event.topic.name for event in CATALOGUE}))
    for entry in log.everything():
        held = b"\0".join([entry.key or b"", entry.value or b"", *(value for _, value in entry.headers)])
        if any(form in held for form in looked_for):
            found.add(f"topic {entry.topic}")
    for database in await databases(harness):
        dumped = await asyncio.to_thread(dump, harness, database)
        found |= {f"table {table} of {database}" for table in tables_with(dumped, looked_for)}
    files = await asyncio.to_thread(lambda: list(_files_with(harness.stack.home.root, looked_for)))
    return found | {f"file {name}" for name in files}


def tables_with(dumped: bytes, looked_for: Sequence[bytes]) -> Iterator[str]:
    for form in looked_for:
        at = dumped.find(form)
        while at >= 0:
            begin = dumped.rfind(b"\nCOPY ", 0, at)
            yield dumped[begin + 6 : dumped.index(b" ", begin + 6)].decode()
            at = dumped.find(form, dumped.index(b"\n", at))


def _files_with(root: Path, looked_for: Sequence[bytes]) -> Iterator[str]:
    for file in sorted(root.rglob("*")):
        own = file.relative_to(root)
        if own.parts[0] not in LEFT_OUT and file.is_file() and not file.is_symlink():
            held = file.read_bytes()
            if any(form in held for form in looked_for):
                yield str(own)
