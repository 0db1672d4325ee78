"""An installation in containers of one network: `docker-compose.yml` makes it.

CROSSDOCK_NETWORK   file of its addresses, as for CROSSDOCK_INSTALLATION
CROSSDOCK_HOME      folder of the development issuer and the post office, which the containers share
CROSSDOCK_ISSUER_SHOWN   the issuer's address for programs outside the network
CROSSDOCK_POST_OFFICE    host:port of the post office
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Addresses, Installation
from crossdock_local.layout import Home
from crossdock_local.signing import Signer
from crossdock_local.stack import Stack, running

VARIABLE: Final = "CROSSDOCK_NETWORK"


class Here(Protocol):
    """What commands for the development issuer and the post office need, in whatever kind of installation."""

    @property
    def home(self) -> Home: ...
    @property
    def signer(self) -> Signer: ...
    @property
    def shown_issuer(self) -> str: ...
    @property
    def post_office(self) -> tuple[str, int]: ...


class Network(Addresses):
    home: Home
    """Its folder is a volume."""
    shown_issuer: str
    post_office: tuple[str, int]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Return the network that the variables describe. Raise CommandError if one is missing."""
        try:
            host, _, port = environment["CROSSDOCK_POST_OFFICE"].rpartition(":")
            return cls(
                **Addresses.read(Path(environment[VARIABLE])).model_dump(),
                home=Home(Path(environment["CROSSDOCK_HOME"])),
                shown_issuer=environment["CROSSDOCK_ISSUER_SHOWN"],
                post_office=(host, int(port)),
            )
        except KeyError as missing:
            raise CommandError(f"{missing.args[0]} is not set.") from None

    @property
    def signer(self) -> Signer:
        return Signer(self.home.issuer, self.issuer_url)

    def tokens(self, partners: Iterable[str], scopes: Sequence[str]) -> Mapping[str, str]:
        return self.signer.tokens(partners, scopes)

    def operator_token(self, scopes: Sequence[str]) -> str:
        return self.signer.operator_token(scopes)


def here() -> Here:
    """Return the network that the environment names, or else the stack on this machine, whether or not it runs."""
    return Network.of(os.environ) if VARIABLE in os.environ else Stack.current()


def installation() -> Installation:
    """Return the same for commands that need it to run. Raise CommandError if no process of a stack runs."""
    return Network.of(os.environ) if VARIABLE in os.environ else running()
