"""Choose the installation of a command: the file that CROSSDOCK_INSTALLATION names, or else the one on this machine."""

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Protocol, cast

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossdock_cli.errors import CommandError

VARIABLE = "CROSSDOCK_INSTALLATION"
OPERATOR = "operator"
"""The client of the company in the file of an installation."""
GROUP = "crossdock.installation"
"""The group has one entry point: a function that returns the installation of this machine."""


class Installation(Protocol):
    """The addresses of services, databases and Kafka, and tokens for the services."""

    @property
    def kafka(self) -> str:
        """Return the bootstrap servers."""

    @property
    def issuer_url(self) -> str: ...

    def url(self, service: str) -> str:
        """Return the URL of the service's HTTP API, without a slash at the end."""

    def dsn(self, service: str) -> str:
        """Return the DSN of the service's own database."""

    def tokens(self, partners: Iterable[str], scopes: Sequence[str]) -> Mapping[str, str]:
        """Return a bearer token for each partner."""

    def operator_token(self, scopes: Sequence[str]) -> str:
        """Return a bearer token without a partner, for a person or program of the company."""

    def note_replayed(self) -> None:
        """Record that the databases contain the trading day."""


def current() -> Installation:
    """Return the installation to use. Raise CommandError if none is named and none is on this machine."""
    if file := os.environ.get(VARIABLE):
        return Addresses.read(Path(file))
    for each in entry_points(group=GROUP):
        return cast(Installation, each.load()())
    raise CommandError(f"No installation is named: set {VARIABLE} to the file with its addresses.")


class ServiceAddresses(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(pattern="^https?://")]
    postgres: str = ""


class Client(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    secret: str


class Addresses(BaseModel):
    """An installation described by a TOML file.

    kafka = "kafka:9092"
    issuer = "https://login.example.com"
    [services.order-service]
    url = "https://orders.example.com"
    postgres = "postgresql://…"              # only `verify` reads databases
    [clients.acme]                           # the OAuth client of the partner `acme`
    id = "…"
    secret = "…"
    [clients.operator]                       # the OAuth client of the company
    id = "…"
    secret = "…"
    """

    model_config = ConfigDict(extra="forbid")

    kafka: str
    issuer: Annotated[str, Field(pattern="^https?://")]
    services: dict[str, ServiceAddresses]
    clients: dict[str, Client] = {}

    @classmethod
    def read(cls, file: Path) -> "Addresses":
        """Read the file. Raise CommandError if it is missing or does not describe an installation."""
        try:
            return cls.model_validate(tomllib.loads(file.read_text()))
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except tomllib.TOMLDecodeError as error:
            raise CommandError(f"{file} is not TOML: {error}.") from error
        except ValidationError as error:
            places = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            raise CommandError(f"{file} does not describe an installation.", "\n".join(places)) from None

    @property
    def issuer_url(self) -> str:
        return self.issuer.rstrip("/")

    def url(self, service: str) -> str:
        return self._service(service).url.rstrip("/")

    def dsn(self, service: str) -> str:
        if not (dsn := self._service(service).postgres):
            raise CommandError(f"The installation names no postgres for {service}: add it to [services.{service}].")
        return dsn

    def _service(self, name: str) -> ServiceAddresses:
        if name not in self.services:
            raise CommandError(f"The installation has no {name}; it has: {', '.join(sorted(self.services))}.")
        return self.services[name]

    def tokens(self, partners: Iterable[str], scopes: Sequence[str]) -> Mapping[str, str]:
        """Request tokens from the issuer. Raise CommandError if a partner has no client or the issuer refuses."""
        with httpx.Client(timeout=10) as client:
            return {partner: self._token(client, partner, scopes) for partner in partners}

    def operator_token(self, scopes: Sequence[str]) -> str:
        return self.tokens([OPERATOR], scopes)[OPERATOR]

    def _token(self, client: httpx.Client, partner: str, scopes: Sequence[str]) -> str:
        if partner not in self.clients:
            raise CommandError(
                f"The installation has no client for {partner}: add [clients.{partner}] with id and secret."
            )
        own = self.clients[partner]
        try:
            metadata = client.get(f"{self.issuer_url}/.well-known/openid-configuration").raise_for_status().json()
            answer = client.post(
                metadata["token_endpoint"],
                auth=(own.id, own.secret),
                data={"grant_type": "client_credentials", "scope": " ".join(scopes)},
            )
            return str(answer.raise_for_status().json()["access_token"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise CommandError(f"{self.issuer_url} gives {partner} no token: {error}.") from error

    def note_replayed(self) -> None:
        return None
