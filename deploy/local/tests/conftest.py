import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a folder that the database's user can pass through. As root, pytest's own temporary folders are closed."""
    folder = Path(tempfile.mkdtemp(prefix="cd-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nobody_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the developer's own stack, so that the stacks of the tests ignore them."""
    for name in list(os.environ):
        if name.startswith("CROSSDOCK_") and name not in ("CROSSDOCK_TEST_SERVERS", "CROSSDOCK_DOWNLOADS"):
            monkeypatch.delenv(name)


@contextmanager
def issuer_process(home: Path, **settings: object) -> Iterator[str]:
    """Start an issuer process on the folder and yield its URL. Keywords are further settings (`code_seconds=0`).

    With port 0 it binds any free port and prints its URL.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    environment |= {"CROSSDOCK_ISSUER_HOME": str(home), "CROSSDOCK_ISSUER_PORT": "0"}
    environment |= {f"CROSSDOCK_ISSUER_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "crossdock_local.issuer"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        url: str = json.loads(process.stderr.readline())["issuer"]
        deadline = time.monotonic() + 10
        while True:
            try:
                assert httpx.get(f"{url}/livez", trust_env=False).json() == {"status": "ok"}
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture(scope="module")
def issuer_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("issuer")


@pytest.fixture(scope="module")
def issuer_url(issuer_home: Path) -> Iterator[str]:
    """Yield the URL of an issuer process that the tests of a module share, because its start takes seconds."""
    with issuer_process(issuer_home) as url:
        yield url


@pytest.fixture
def hasty_issuer_url(issuer_home: Path) -> Iterator[str]:
    """Yield the URL of an issuer process whose codes have expired when they arrive."""
    with issuer_process(issuer_home, code_seconds=0) as url:
        yield url
