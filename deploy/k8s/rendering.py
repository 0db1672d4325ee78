"""Render overlays with kustomize, which Go builds once from the locked modules in `tools`."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import yaml
from deploy.k8s.files import FOLDER
from deploy.k8s.workloads import Manifest

from crossdock_cli.errors import CommandError
from crossdock_local.layout import downloads

TOOLS = FOLDER / "tools"
PACKAGE = "sigs.k8s.io/kustomize/kustomize/v5"
BUILD_SECONDS = 300


def kustomize() -> Path:
    """Return the program. Build it first if its lock is new. Several processes may call this.

    Raise CommandError if Go is missing, or if the modules cannot be had.
    """
    lock = hashlib.sha256(b"".join((TOOLS / name).read_bytes() for name in ("go.mod", "go.sum"))).hexdigest()[:12]
    folder = downloads()
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"kustomize-{lock}"
    with (folder / "kustomize.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not program.exists():
            _build(program)
    return program


def overlays() -> list[str]:
    return sorted(each.parent.name for each in FOLDER.glob("overlays/*/kustomization.yaml"))


def render(overlay: str) -> list[Manifest]:
    """Return the manifests of an overlay. Raise CommandError if kustomize refuses it."""
    words = [str(kustomize()), "build", str(FOLDER / "overlays" / overlay)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise CommandError(f"The overlay {overlay} cannot be rendered.", done.stderr)
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def _build(program: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise CommandError("Go is needed to build kustomize: install it (Debian's package golang).")
    fresh = program.with_suffix(".new")
    words = [go, "build", "-mod=readonly", "-trimpath", "-o", str(fresh), PACKAGE]
    done = subprocess.run(words, cwd=TOOLS, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode != 0:
        raise CommandError("kustomize could not be built: is there a network?", done.stderr)
    os.replace(fresh, program)
