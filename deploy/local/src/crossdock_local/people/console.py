"""The console of a stack: what its service needs so that people can sign in on this machine.

It needs the standard library only, because the launcher imports it at each start.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crossdock_local.layout import Home
from crossdock_local.people.applications import application, keep_applications

SERVICE: Final = "analytics-service"
CLIENT: Final = "crossdock-console"


def environment(home: Home, urls: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the service that serves the console. `urls` are the addresses of all services.

    The secret and the key are made once. They are for development only.
    """
    key = hashlib.sha256(home.secret("console-key").encode()).digest()
    return {
        "CROSSDOCK_CONSOLE_URL": urls[SERVICE],
        "CROSSDOCK_SIGN_IN_CLIENT": CLIENT,
        "CROSSDOCK_SIGN_IN_SECRET": secret(home),
        "CROSSDOCK_SIGN_IN_KEY": base64.b64encode(key).decode(),
        "CROSSDOCK_SERVICES": json.dumps(urls),
    }


def secret(home: Home) -> str:
    return home.secret("console-client")


def register(issuer: Path, url: str, secret: str) -> None:
    """Let the development issuer, by its folder, know the console at this address."""
    redirects, after = [f"{url}/session/callback"], [f"{url}/"]
    keep_applications(issuer, [application(CLIENT, secret, redirects, after)])
