import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the database's user may pass through, which pytest's own temporary folders are not for root."""
    folder = Path(tempfile.mkdtemp(prefix="cd-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nobody_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person at this machine has set for their own stack is not for the stacks made here."""
    for name in list(os.environ):
        if name.startswith("CROSSDOCK_") and name not in ("CROSSDOCK_TEST_SERVERS", "CROSSDOCK_DOWNLOADS"):
            monkeypatch.delenv(name)
