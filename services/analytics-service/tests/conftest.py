from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from consoles import Browser, Console, running_console

from analytics_service.service import Settings, build
from crossdock_chassis import Service
from crossdock_chassis.testing import Fresh
from crossdock_local import issuer


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """Build the service on an empty database of its own."""
    return await fresh(build, Settings)


@pytest.fixture(scope="session")
def issuer_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the development issuer, with its key, which takes a while to make."""
    home = tmp_path_factory.mktemp("issuer")
    issuer.signing_key(home)
    return home


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with a built console."""
    (tmp_path / "built" / "assets").mkdir(parents=True)
    (tmp_path / "built" / "index.html").write_text('<!doctype html><script src="/assets/index-1.js"></script>')
    (tmp_path / "built" / "assets" / "index-1.js").write_text("console.log(1)")
    (tmp_path / "built" / "icon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("beside the console")
    return tmp_path / "built"


@pytest.fixture
async def console(fresh: Fresh, issuer_home: Path, files: Path) -> AsyncIterator[Console]:
    async with running_console(fresh, issuer_home, files) as running:
        yield running


@pytest.fixture
async def browser(console: Console) -> Browser:
    return console.browser()


@pytest.fixture
async def signed_in(browser: Browser) -> Browser:
    """Return a browser in which the operator is signed in."""
    await browser.sign_in()
    return browser
