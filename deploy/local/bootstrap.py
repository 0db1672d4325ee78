"""Make .venv from the hash-locked requirements, or do nothing if it is up to date. Standard library only.

python3 bootstrap.py install | lock | check-lock
CROSSDOCK_THIS_PYTHON=1: .venv gets the Python that runs this file, even if a faster one of its version is there

It runs before anything is installed. So it parses on any Python 3, and refuses an old Python with a sentence.
"""

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, os.environ.get("CROSSDOCK_VENV") or ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "crossdock-stamp")
UV_LOCK, LOCK, WANTED = "requirements-uv.lock", "requirements.lock", "requirements.in"
DASK_LOCK, DASK = "requirements-dask.lock", "services/forecast-service/pyproject.toml:dask"
IMAGE_LOCK, IN_IMAGE = "requirements-image.lock", ("libs/*", "services/*", "cli")
# What the issuer and the post office in containers need beside it.
DEVELOPMENT_LOCK, FOR_DEVELOPMENT = "requirements-development.lock", "aiosmtpd\npsutil"
SBOM_LOCK, FOR_SBOM = "requirements-sbom.lock", "cyclonedx-bom"
NEEDED = (3, 11)
MEGABYTES = 2200
CLEARLY_FASTER = 0.9
FINGERPRINT = "# inputs: "


class InstallError(Exception):
    """An error in one sentence for the user at the terminal."""


def main(command):
    os.chdir(ROOT)
    if sys.version_info < NEEDED:
        raise InstallError(
            f"Python {_dotted(NEEDED)} or newer is needed and this is {_dotted(sys.version_info)}: "
            "install it, or name it with PYTHON=."
        )
    {"install": install, "lock": lock, "check-lock": check_lock}[command]()


def packages(places=(*IN_IMAGE, "deploy/local")):
    """Return the repository's own packages. They are found by their files, so a new service needs no entry here."""
    return sorted(os.path.dirname(file) for place in places for file in glob.glob(place + "/pyproject.toml"))


def install():
    fingerprint = _fingerprint([UV_LOCK, LOCK, *(package + "/pyproject.toml" for package in packages())])
    stamp = f"{fingerprint} {ROOT}\n"
    if _read(STAMP) == stamp and os.path.exists(PYTHON):
        return
    free = shutil.disk_usage(ROOT).free // 1000000
    if free < MEGABYTES:
        raise InstallError(
            f"The Python packages need {MEGABYTES} MB and the disk of {ROOT} has {free} MB left: free some space first."
        )
    begun, received = time.time(), _received()
    fresh = not os.path.exists(PYTHON)
    try:
        if fresh:
            print("Making .venv and installing the locked Python packages …", flush=True)
            _make()
        else:
            print("Updating .venv to the locked Python packages …", flush=True)
            _forget_stamp()
        _fill()
    except BaseException:
        if fresh:
            shutil.rmtree(VENV, ignore_errors=True)
        raise
    with open(STAMP, "w") as stream:
        stream.write(stamp)
    downloaded = "" if received is None else f"{(_received() - received) / 1e6:.0f} MB downloaded, "
    print(f"Python packages: {downloaded}{time.time() - begun:.0f} s", flush=True)


def _make():
    shutil.rmtree(VENV, ignore_errors=True)
    incomplete = (
        "Python's venv module is incomplete here (Debian and Ubuntu keep it in a package of its own): "
        f"install python{_dotted(sys.version_info)}-venv and run the same command again."
    )
    try:
        import ensurepip  # noqa: F401, PLC0415
        import venv  # noqa: F401, PLC0415
    except ImportError:
        raise InstallError(incomplete) from None
    python = sys.executable if os.environ.get("CROSSDOCK_THIS_PYTHON") else _fastest()
    done = subprocess.run([python, "-m", "venv", VENV], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        missing = "ensurepip" in done.stdout + done.stderr
        raise InstallError(incomplete if missing else "A virtual environment could not be made.")


TIMED = """
import ensurepip, sys, time, venv
class Counter:
    def __init__(self, step):
        self.step = step
    def add(self, counts, name):
        counts[name] = counts.get(name, 0) + self.step
def seconds():
    begun, counts = time.process_time(), {}
    for i in range(40000):
        Counter(1).add(counts, "n%d" % (i % 100))
    return time.process_time() - begun
print(min(seconds() for _ in range(7)), sys.executable)
"""


def _fastest():
    """Return this Python, or a clearly faster one of the same version on the path.

    An interpreter that was built without profiles of its own work takes up to twice the time for everything. Not every
    build states how it was made, so the time is measured.
    """
    name = "python" + _dotted(sys.version_info)
    files = [os.path.join(folder, name) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    others = {os.path.realpath(file): file for file in reversed(files) if os.access(file, os.X_OK)}
    others.pop(os.path.realpath(sys.executable), None)
    this = _timed(sys.executable)
    found = [timed for timed in map(_timed, others.values()) if timed is not None]
    if this is None or not found or min(found)[0] > CLEARLY_FASTER * this[0]:
        return sys.executable
    seconds, python = min(found)
    share = round(100 * seconds / this[0])
    print(f"{python} takes {share} % of the time of {sys.executable}, so it is used.", flush=True)
    return python


def _timed(python):
    """Return the seconds of a loop and the path of an interpreter. None if it cannot make a virtual environment."""
    try:
        done = subprocess.run([python, "-c", TIMED], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split(maxsplit=1)
    return (float(words[0]), words[1].strip()) if done.returncode == 0 and words else None


def _fill():
    again = "is there a network? No incomplete file was left; run the same command again."
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run([*pip, "install", "-q", "--require-hashes", "-r", UV_LOCK], f"The package installer is out of reach: {again}")
    uv = [os.path.join(VENV, "bin", "uv"), "pip"]
    where = ["-q", "--python", PYTHON]
    _run([*uv, "sync", *where, "--require-hashes", LOCK], f"The Python packages are out of reach: {again}")
    own = [word for package in packages() for word in ("-e", "./" + package)]
    own = ["--no-deps", "--no-build-isolation", *own]
    _run([*uv, "install", *where, *own], "Crossdock's own packages could not be installed.")


def _run(command, failed):
    done = subprocess.run(command, env=_environment(), stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write("\n".join(done.stderr.splitlines()[-8:]) + "\n")
        raise InstallError(failed)


def _environment():
    """Return uv's environment. uv reads no settings of pip, so pip's mirror and certificate are copied to uv's."""
    environment = dict(os.environ, UV_NO_PROGRESS="1", UV_PYTHON_DOWNLOADS="never")
    environment.pop("VIRTUAL_ENV", None)
    for theirs, ours in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if theirs in os.environ:
            environment.setdefault(ours, os.environ[theirs])
    return environment


def lock():
    """Pin all requirements again, with the uv in .venv."""
    uv = [os.path.join(VENV, "bin", "uv"), "pip", "compile", "-q", "--universal", "--generate-hashes"]
    uv += ["--no-emit-index-url", "--no-annotate", "--python-version", _dotted(NEEDED)]
    uv += ["--custom-compile-command", "make lock"]
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    own = [word for package in packages() for word in ("--no-emit-package", _name(package))]
    projects = [package + "/pyproject.toml" for package in packages()]
    inputs = [WANTED, *projects]
    failed = "The requirements could not be locked."
    _run([*uv, *upgrade, *own, "--all-extras", *inputs, "-o", LOCK], failed)
    _run([*uv, *upgrade, "--group", DASK, "-c", LOCK, "-o", DASK_LOCK], failed)
    image = [package + "/pyproject.toml" for package in packages(IN_IMAGE)]
    _run([*uv, *upgrade, *own, "-c", LOCK, *image, "-o", IMAGE_LOCK], failed)
    with open(LOCK) as stream:
        pinned = stream.read()
    version = next(line for line in pinned.splitlines() if line.startswith("uv==")).split()[0]
    for wanted, file in ((version, UV_LOCK), (FOR_DEVELOPMENT, DEVELOPMENT_LOCK), (FOR_SBOM, SBOM_LOCK)):
        subprocess.run([*uv, "-c", LOCK, "-", "-o", file], input=wanted, text=True, env=_environment(), check=True)
    with open(LOCK, "w") as stream:
        stream.write(FINGERPRINT + _fingerprint(inputs) + "\n" + pinned)


def check_lock():
    """Raise InstallError if the lock is older than the requirements or names a download address."""
    inputs = [WANTED, *(package + "/pyproject.toml" for package in packages())]
    if not (_read(LOCK) or "").startswith(FINGERPRINT + _fingerprint(inputs) + "\n"):
        raise InstallError("requirements.lock is older than what the packages ask for: run `make lock` and commit it.")
    for file in (LOCK, UV_LOCK, DASK_LOCK, IMAGE_LOCK, DEVELOPMENT_LOCK, SBOM_LOCK):
        if "://" in (_read(file) or ""):
            raise InstallError(f"{file} names a download address: run `make lock` and commit it.")


def _dotted(version):
    return ".".join(str(part) for part in version[:2])


def _name(package):
    import tomllib  # noqa: PLC0415  (missing in the old Pythons that this file refuses with a sentence)

    with open(package + "/pyproject.toml", "rb") as stream:
        return tomllib.load(stream)["project"]["name"]


def _fingerprint(files):
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\n{_read(file)}\n".encode())
    return digest.hexdigest()


def _read(file):
    try:
        with open(file) as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _forget_stamp():
    if os.path.exists(STAMP):
        os.unlink(STAMP)


def _received():
    """Return the bytes that this machine received so far, without loopback. None if the kernel does not count them."""
    lines = (_read("/proc/net/dev") or "").splitlines()[2:]
    counts = [int(line.split(":")[1].split()[0]) for line in lines if not line.strip().startswith("lo:")]
    return sum(counts) if counts else None


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except InstallError as refusal:
        sys.exit(str(refusal))
    except KeyboardInterrupt:
        sys.exit("Stopped; no incomplete file was left.")
