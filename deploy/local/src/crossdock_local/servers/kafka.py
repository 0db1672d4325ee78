"""Apache Kafka: one KRaft node on loopback."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from crossdock_cli.errors import CommandError
from crossdock_cli.progress import SILENT, Report, step
from crossdock_cli.topics import Topics
from crossdock_local.layout import OWNER_ONLY, Home, write
from crossdock_local.ports import HOST, is_open
from crossdock_local.processes import Process, Program
from crossdock_local.servers import jars

HEAP_MEGABYTES = 320

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.recovery.threads.per.data.dir=2
"""

LOGGING = """\
status=error
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
"""


class Kafka:
    """Our own broker below a home folder."""

    title = f"Kafka {jars.KAFKA}"
    format_options: Sequence[str] = ()

    def __init__(self, home: Home, port: int, controller_port: int, downloads: Path) -> None:
        self._home, self.port, self.controller_port, self._downloads = home, port, controller_port, downloads
        self.bootstrap = f"{HOST}:{port}"
        self.topics = Topics(bootstrap_servers=self.bootstrap)
        self.process = Process(
            "kafka",
            home,
            self._program,
            ready=self._ready,
            ready_seconds=90,
            failed_because=self._explain,
        )

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, self.controller_port)

    def prepare(self, report: Report = SILENT) -> None:
        """Download the jars and format the data folder. A failed step leaves nothing behind."""
        if not jars.fetched(self._downloads):
            self._home.require_space(100, "Kafka's download")
            report.begin(
                f"Downloading Apache Kafka {jars.KAFKA}: {jars.megabytes():.0f} MB in {len(jars.locked())} jars"
            )
            with step(report, f"Apache Kafka {jars.KAFKA} downloaded and verified ({jars.megabytes():.0f} MB)"):
                jars.fetch(self._downloads)
        if not (self._home.broker / "data" / "meta.properties").exists():
            self._home.require_space(300, "Kafka")
            with step(report, "Kafka's data folder created"):
                self._format()

    def _format(self) -> None:
        shutil.rmtree(self._home.broker, ignore_errors=True)
        fresh = self._home.root / "broker.new"
        shutil.rmtree(fresh, ignore_errors=True)
        # Formatting writes below log.dirs, so its properties must name the new folder.
        for folder in (fresh, fresh / "data"):
            folder.mkdir(mode=0o700)
        settings = self._settings(fresh, fresh / "data")
        arguments = ["format", "-t", _cluster_id(), "-c", str(settings), *self.format_options]
        done = subprocess.run(
            self._java(jars.folder(self._downloads), fresh, "kafka.tools.StorageTool", arguments, heap=128),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            umask=OWNER_ONLY,
        )
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise CommandError("Kafka's data folder could not be formatted.", done.stdout + done.stderr)
        fresh.rename(self._home.broker)

    def wait_ready(self) -> None:
        """Wait until the broker accepts requests. Raise CommandError if another broker answers on the port."""
        self.process.wait_ready()
        if self.topics.cluster_id() != self._own_cluster_id():
            raise CommandError(f"Port {self.port} is answered by a Kafka that is not the one in {self._home.broker}.")

    def _program(self) -> Program:
        folder = self._home.broker
        settings = self._settings(folder, folder / "data")
        classpath = jars.folder(self._downloads)
        return Program(
            argv=self._java(classpath, folder, "kafka.Kafka", [str(settings)], heap=HEAP_MEGABYTES),
            env=_environment(),
            cwd=folder,
        )

    def _settings(self, folder: Path, data: Path) -> Path:
        file = folder / "server.properties"
        write(file, SETTINGS.format(host=HOST, port=self.port, controller=self.controller_port, data=data))
        write(folder / "log4j2.properties", LOGGING)
        return file

    def _java(self, classpath: Path, folder: Path, main: str, arguments: Sequence[str], heap: int) -> list[str]:
        options = [f"-Xmx{heap}m", "-Xms64m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Xshare:auto"]
        # The second JIT compiler does not pay for a broker that runs this briefly: it took half of the processor time.
        options += ["-XX:TieredStopAtLevel=1"]
        options += ["-Djava.awt.headless=true", "-Djava.net.preferIPv4Stack=true"]
        options += [f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"]
        return [jars.java(), *options, "-cp", f"{classpath}/*", main, *arguments]

    def _own_cluster_id(self) -> str:
        lines = (self._home.broker / "data" / "meta.properties").read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))

    def _ready(self) -> bool:
        return is_open(self.port) and self.topics.answers()

    def _explain(self, log: str) -> str | None:
        if "Address already in use" in log or "BindException" in log:
            return f"Port {self.port} or {self.controller_port}, needed for kafka, is taken by another program."
        if "No space left on device" in log:
            return f"The disk of {self._home.broker} is full, so Kafka cannot start: free some space first."
        if "insufficient memory" in log or "Could not reserve enough space" in log:
            return (
                f"There is not enough free memory for Kafka ({HEAP_MEGABYTES} MB of heap): stop other programs first."
            )
        return None


def _cluster_id() -> str:
    """Return an id like Kafka's: 22 characters of URL-safe base64. A leading dash would be read as an option."""
    while (candidate := secrets.token_urlsafe(16)).startswith("-"):
        continue
    return candidate


def _environment() -> dict[str, str]:
    keep = ("PATH", "LANG", "TMPDIR", "HOME", "JAVA_HOME")
    return {name: os.environ[name] for name in keep if name in os.environ}
