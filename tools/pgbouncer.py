"""A real PgBouncer for tests: in transaction mode with few connections to the server, or as a server with TLS."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from crossdock_cli.waiting import wait_until
from crossdock_local.ports import HOST, free_ports, is_open

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
SETTINGS = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = {listen}
listen_port = {listen_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
"""
TRANSACTIONS = """\
pool_mode = transaction
default_pool_size = 2
"""
TLS = """\
pool_mode = session
ignore_startup_parameters = jit, transaction_timeout
client_tls_sslmode = require
client_tls_key_file = {folder}/server.key
client_tls_cert_file = {folder}/server.crt
"""


@contextmanager
def pooling(dsn: str, certificate: Path | None = None) -> Iterator[str]:
    """Run PgBouncer in front of the server of a DSN, and yield the DSN through it.

    With the folder of a certificate, it takes TLS alone and passes whole sessions on, as a server does.
    """
    assert PROGRAM is not None, "pgbouncer is not installed: `apt-get install pgbouncer`, as .ci/run does"
    parts, port = urlsplit(dsn), next(free_ports())
    with tempfile.TemporaryDirectory(prefix="cd-") as name:
        folder, account = Path(name), pwd.getpwnam("nobody")
        users, settings = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{parts.username}" "{unquote(parts.password or "")}"\n')
        kind = TLS.format(folder=folder) if certificate else TRANSACTIONS
        where = {"host": parts.hostname, "port": parts.port, "listen": HOST, "listen_port": port, "users": users}
        settings.write_text(SETTINGS.format(**where) + kind)
        own = ("server.key", "server.crt") if certificate else ()
        copied = [shutil.copy(certificate / each, folder) for each in own if certificate]
        changed: dict[str, Any] = {"user": account.pw_uid, "extra_groups": []} if os.geteuid() == 0 else {}
        for each in (folder, users, settings, *copied) if changed else ():  # PgBouncer refuses root
            os.chown(each, account.pw_uid, account.pw_gid)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([PROGRAM, settings], stderr=log, **changed)
        try:
            assert wait_until(lambda: is_open(port), 10), (folder / "log").read_text()
            netloc = f"{parts.netloc.rpartition('@')[0]}@{HOST}:{port}"
            yield urlunsplit(parts._replace(netloc=netloc))
        finally:
            process.terminate()
            process.wait()
