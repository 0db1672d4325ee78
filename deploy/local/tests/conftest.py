import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
