"""An OAuth 2 issuer for one machine: `python -m crossdock_local.issuer`.

It gives partners of a development stack tokens for client credentials, and signs people in with the authorization code
flow (`people/`), like any OpenID provider. So services check real signatures against real published keys. Never use it
for an installation that others can reach: it listens on loopback, or in the private network of containers on one
machine. If you have an identity provider, set `CROSSDOCK_ISSUER` to that provider.

CROSSDOCK_ISSUER_HOME   folder of the signing key and the clients, readable by its owner only
CROSSDOCK_ISSUER_PORT   default 8400
CROSSDOCK_ISSUER_HOST   a loopback address, default 127.0.0.1
CROSSDOCK_AUDIENCE      default crossdock
CROSSDOCK_ISSUER_IN_NETWORK   its address in a private network, such as http://issuer:8400. It then listens there too
CROSSDOCK_ISSUER_SHOWN  its address for browsers and programs outside of that network
CROSSDOCK_CONSOLE_URL, CROSSDOCK_SIGN_IN_SECRET   the console that may send people here, if no launcher names it
CROSSDOCK_ISSUER_CODE_SECONDS     how long a code for a sign-in works, default 60
CROSSDOCK_ISSUER_PERSON_SECONDS   how long the access token of a person works, default 300
"""

import asyncio
import fcntl
import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from crossdock_local.layout import write
from crossdock_local.oauth import NO_STORE, OAuthError, credentials_of, form_of, refused
from crossdock_local.people import console
from crossdock_local.people.flow import ALGORITHM, GRANTS, PEOPLE_SCOPES, People
from crossdock_local.people.grants import Lifetimes

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
SCOPES: Final = (
    "orders:read",
    "orders:write",
    "catalogue:read",
    "catalogue:quantities",
    "stock:read",
    "stock:write",
    "forecasts:read",
    "forecasts:write",
    "crm:read",
    "crm:write",
    "crm:staff",
    "pii:read",
    "pii:erase",
    "events:read",
    "ops:read",
    "ops:act",
)
LIFETIME: Final = 3600  # seconds
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1", "[::1]")
CONNECTIONS: Final = 100
"""Connections that are open at the same time. The services keep theirs for as long as a request takes."""
_SCRYPT: Final = {"n": 2**14, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024}


@dataclass(frozen=True, slots=True)
class Client:
    id: str
    partner: str
    scopes: tuple[str, ...]
    salt: str
    hash: str

    def has(self, secret: str) -> bool:
        return hmac.compare_digest(_hash(secret, self.salt), self.hash)


def add_partner(home: Path, name: str, scopes: Iterable[str] = SCOPES) -> tuple[str, str]:
    """Add a client of the partner `name`. Return its id and its secret; only a hash of the secret is stored.

    A running issuer accepts the client at once. Raise ValueError if the name or a scope is not valid.
    """
    wanted = tuple(scopes)
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a partner: use 1 to 64 of a-z, 0-9, dot, hyphen and underscore")
    if unknown := set(wanted) - set(SCOPES):
        raise ValueError(f"no such scope: {', '.join(sorted(unknown))} (there are {', '.join(SCOPES)})")
    client, secret = _with_secret(f"{name}-{secrets.token_hex(4)}", name, wanted)
    with _locked(home):
        _keep(home, [*_read_clients(home), client])
    return client.id, secret


def remove_client(home: Path, client_id: str) -> None:
    """Remove the client. A running issuer refuses it at once; tokens that it issued expire by themselves."""
    with _locked(home):
        _keep(home, [each for each in _read_clients(home) if each.id != client_id])


def rotate_secret(home: Path, client_id: str) -> tuple[Client, str]:
    """Give the client a new secret and return both. A running issuer refuses the old secret at once.

    Raise KeyError if there is no such client.
    """
    with _locked(home):
        clients = {each.id: each for each in _read_clients(home)}
        old = clients[client_id]
        clients[client_id], secret = _with_secret(old.id, old.partner, old.scopes)
        _keep(home, clients.values())
    return clients[client_id], secret


def _with_secret(client_id: str, partner: str, scopes: tuple[str, ...]) -> tuple[Client, str]:
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    return Client(client_id, partner, scopes, salt, _hash(secret, salt)), secret


def _keep(home: Path, clients: Iterable[Client]) -> None:
    write(_clients_file(home), json.dumps([asdict(each) for each in clients], indent=1))


def partners(home: Path) -> list[Client]:
    return _read_clients(home)


def signing_key(home: Path) -> RSAKey:
    """Return the issuer's key, and create it at the first call. Tests use it to sign tokens that the issuer refuses."""
    with _locked(home):
        file = home / "key.json"
        if not file.exists():
            write(file, json.dumps(RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)))
        return _key(file.read_text())


@lru_cache(maxsize=4)  # it takes 50 ms, and a stack signs many tokens
def _key(document: str) -> RSAKey:
    return RSAKey.import_key(json.loads(document))


class Clients:
    """The clients in the file, and the secrets that were verified before. A changed file is read again.

    Verifying a secret with scrypt takes 50 ms on purpose. If the same client asks for a token again, a keyed digest of
    the verified secret is compared instead. The key of the digest exists in the memory of this process only.
    """

    def __init__(self, home: Path) -> None:
        self._home, self._stamp, self._by_id = home, (0, 0, 0), dict[str, Client]()
        self._pepper = secrets.token_bytes(32)
        self._proven: dict[str, tuple[str, bytes]] = {}

    async def authenticate(self, client_id: str, secret: str) -> Client | None:
        self._reload()
        client = self._by_id.get(client_id)
        digest = hmac.digest(self._pepper, secret.encode(), "sha256")
        if client is not None:
            of_hash, of_secret = self._proven.get(client_id, ("", b""))
            if of_hash == client.hash and hmac.compare_digest(of_secret, digest):
                return client
        # An unknown id takes as long as a wrong secret, so the response time does not reveal which ids exist.
        right = await asyncio.to_thread((client or _NOBODY).has, secret)
        if client is None or not right:
            return None
        self._proven[client_id] = client.hash, digest
        return client

    def _reload(self) -> None:
        try:
            found = os.stat(_clients_file(self._home))
        except FileNotFoundError:
            self._by_id = {}
            return
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        if stamp != self._stamp:
            self._by_id = {client.id: client for client in _read_clients(self._home)}
            self._stamp = stamp


def access_token(
    key: RSAKey,
    issuer: str,
    audience: str,
    client: str,
    partner: str | None,
    scopes: Iterable[str],
    *,
    subject: str | None = None,
    lifetime: int = LIFETIME,
) -> str:
    """Sign a token like those of the endpoint. The holder of the key can sign for any partner, as a stack does.

    Tokens of people have no partner. Their `subject` is the person, and `client` the application.
    """
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject or client,
        "client_id": client,
        "scope": " ".join(scopes),
        "iat": now,
        "exp": now + lifetime,
        "jti": str(uuid4()),
    }
    if partner is not None:
        claims["partner"] = partner
    header = {"alg": ALGORITHM, "kid": key.kid}
    return jwt.encode(header, claims, key, algorithms=[ALGORITHM], default_type="at+jwt")


def app(
    home: Path,
    issuer: str,
    audience: str = "crossdock",
    lifetimes: Lifetimes | None = None,
    *,
    shown: str | None = None,
) -> Starlette:
    """Return the issuer. `shown` is its address for browsers, if they do not reach it at `issuer`."""
    key, clients = signing_key(home), Clients(home)
    sign = partial(access_token, key, issuer, audience, partner=None)
    people = People(home, issuer, key, sign, lifetimes, shown=shown)
    published = {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": ALGORITHM}]}

    async def configuration(_: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": issuer,
                "jwks_uri": f"{issuer}/jwks.json",
                "token_endpoint": f"{issuer}/oauth/token",
                "grant_types_supported": ["client_credentials", *GRANTS],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "scopes_supported": list(dict.fromkeys(["openid", "offline_access", *SCOPES, *PEOPLE_SCOPES])),
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                **people.discovery,
            }
        )

    async def keys(_: Request) -> JSONResponse:
        return JSONResponse(published, headers={"Cache-Control": "public, max-age=300"})

    async def token(request: Request) -> JSONResponse:
        form = await form_of(request)
        if (grant := form.get("grant_type")) in GRANTS:
            return people.token(request, form)
        if grant != "client_credentials":
            if grant is None:
                raise OAuthError("invalid_request", "grant_type is missing")
            raise OAuthError("unsupported_grant_type", f"only client_credentials, {' and '.join(GRANTS)}")
        client_id, secret, basic = credentials_of(request, form)
        client = await clients.authenticate(client_id, secret)
        if client is None:
            raise OAuthError("invalid_client", "unknown client or wrong secret", 401, basic=basic)
        scopes = tuple(dict.fromkeys(form["scope"].split())) if form.get("scope") else client.scopes
        if beyond := [scope for scope in scopes if scope not in client.scopes]:
            raise OAuthError("invalid_scope", f"not granted to this client: {' '.join(beyond)[:200]}")
        access = access_token(key, issuer, audience, client.id, client.partner, scopes)
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": LIFETIME, "scope": " ".join(scopes)}
        return JSONResponse(answer, headers=NO_STORE)

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", configuration),
            Route("/jwks.json", keys),
            Route("/oauth/token", token, methods=["POST"]),
            *people.routes,
            Route("/livez", live),
        ],
        # A host name of an attacker may resolve to this machine: a web page must not reach the issuer by such a name.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, urlsplit(issuer).hostname or ""])],
        exception_handlers={OAuthError: refused},
    )


def _hash(secret: str, salt: str) -> str:
    return hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), **_SCRYPT).hex()


_NOBODY: Final = Client("", "", (), "00" * 16, "")


def _clients_file(home: Path) -> Path:
    return home / "clients.json"


def _read_clients(home: Path) -> list[Client]:
    file = _clients_file(home)
    if not file.exists():
        return []
    return [Client(**{**each, "scopes": tuple(each["scopes"])}) for each in json.loads(file.read_text())]


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Lock the issuer's folder. Without the lock, two commands could lose a partner or create two keys."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def listen(host: str, port: int, *, beyond_loopback: bool = False) -> socket.socket:
    """Return a bound socket. Raise SystemExit with a sentence if the address is not loopback or the port is taken."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not (address.is_loopback or beyond_loopback):
        raise SystemExit(
            f"The development issuer serves loopback only, not {host}. Set CROSSDOCK_ISSUER to a real issuer instead."
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle's algorithm on
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((str(address), port))
    except OSError as error:
        bound.close()
        raise SystemExit(f"CROSSDOCK_ISSUER_PORT: cannot listen on {address}:{port}: {error.strerror}.") from None
    return bound


def _seconds(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isdecimal() or int(value) > 86_400:
        raise SystemExit(f"{name} is not usable: it must be a number of seconds up to 86400.")
    return int(value)


def main(environment: Mapping[str, str] = os.environ) -> None:
    from crossdock_chassis import BoundedProtocol  # noqa: PLC0415  (takes seconds, and a stack imports this module too)

    home = environment.get("CROSSDOCK_ISSUER_HOME")
    if not home:
        raise SystemExit("CROSSDOCK_ISSUER_HOME is not set: name the folder of the issuer's files.")
    port = environment.get("CROSSDOCK_ISSUER_PORT", "8400")
    if not port.isdecimal() or int(port) > 65535:
        raise SystemExit("CROSSDOCK_ISSUER_PORT is not usable: it must be a number up to 65535.")
    network = environment.get("CROSSDOCK_ISSUER_IN_NETWORK")
    host = environment.get("CROSSDOCK_ISSUER_HOST", "0.0.0.0" if network else "127.0.0.1")
    lifetimes = Lifetimes(
        code=_seconds(environment, "CROSSDOCK_ISSUER_CODE_SECONDS", 60),
        access=_seconds(environment, "CROSSDOCK_ISSUER_PERSON_SECONDS", 300),
    )
    bound = listen(host, int(port), beyond_loopback=network is not None)
    issuer = network or f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
    if url := environment.get("CROSSDOCK_CONSOLE_URL"):
        console.register(Path(home), url, environment["CROSSDOCK_SIGN_IN_SECRET"])
    audience, shown = environment.get("CROSSDOCK_AUDIENCE", "crossdock"), environment.get("CROSSDOCK_ISSUER_SHOWN")
    application = app(Path(home), issuer, audience, lifetimes, shown=shown)
    print(json.dumps({"event": "listening", "service": "issuer", "issuer": issuer}), file=sys.stderr, flush=True)
    config: dict[str, Any] = {"access_log": False, "log_level": "warning", "server_header": False, "lifespan": "off"}
    config |= {"http": BoundedProtocol, "limit_concurrency": CONNECTIONS}
    uvicorn.Server(uvicorn.Config(application, **config)).run(sockets=[bound])


if __name__ == "__main__":
    main()
