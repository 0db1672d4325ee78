"""The post office of a stack, as a process, and the settings with which crm-service uses it."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

from crossdock_local.layout import Home
from crossdock_local.ports import HOST, Ports, is_open
from crossdock_local.processes import Process, Program

NAME: Final = "post-office"
SERVICE: Final = "crm-service"
"""The service whose mails it takes."""
DOMAIN: Final = "crm.test"


def process_of(home: Home, ports: Ports, crm: Callable[[], str], issuer: str, audience: str) -> Process:
    """Return the process. `crm` returns the URL of crm-service, and is called when the process starts."""
    port = ports.of(NAME)

    def program() -> Program:
        environment = dict(os.environ) | {
            "CROSSDOCK_POST_HOME": str(home.mail),
            "CROSSDOCK_POST_PORT": str(port),
            "CROSSDOCK_POST_DOMAIN": DOMAIN,
            "CROSSDOCK_POST_CRM": crm(),
            "CROSSDOCK_ISSUER_HOME": str(home.issuer),
            "CROSSDOCK_ISSUER": issuer,
            "CROSSDOCK_AUDIENCE": audience,
        }
        argv = [sys.executable, "-m", "crossdock_local.post_office"]
        return Program(argv=argv, env=environment, cwd=home.root)

    return Process(NAME, home, program, ready=lambda: is_open(port))


def settings(home: Home, ports: Ports) -> Mapping[str, str]:
    """Return the settings of crm-service. They are empty if the caller names another SMTP server."""
    if "CROSSDOCK_SMTP_HOST" in os.environ:
        return {}
    return {
        "CROSSDOCK_SMTP_HOST": HOST,
        "CROSSDOCK_SMTP_PORT": str(ports.of(NAME)),
        "CROSSDOCK_MAIL_DOMAIN": DOMAIN,
        "CROSSDOCK_MAIL_KEY": home.secret("mail"),
    }
