import base64
import binascii
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

import crossdock_chassis

Port = Annotated[int, Field(ge=0, le=65535)]
KEY_BYTES: Final = 32
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def _origin(value: str) -> str:
    """Return the origin. Raise ValueError if browsers would refuse the cookie of its pages."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError("must be an origin like https://console.example.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must be https, because the cookie of a signed-in person is sent over TLS only")
    return f"{parts.scheme}://{parts.netloc}"


def _service_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http(s) URL")
    return value.rstrip("/")


PACKAGED: Final = Path(__file__).with_name("console")
"""A wheel has the built console here, a clone has not: see `hatch_build.py`."""


class Settings(crossdock_chassis.Settings):
    # Not 8430: the ops port of that worker would be 8432, the port of PostgreSQL.
    http_port: Port = 8440
    ops_port: Port = 8441

    console: Path | None = Field(default_factory=lambda: PACKAGED if PACKAGED.is_dir() else None)
    """Folder of the built console, or a link to it: by default the one in the installed wheel, if it has one. It may be
    replaced while the process runs."""
    console_url: Annotated[str, AfterValidator(_origin)] | None = None
    """The origin at which browsers reach the console. Without it nobody can sign in, and there is no console."""
    sign_in_client: Annotated[str, Field(min_length=1, max_length=255)] = "crossdock-console"
    """The console's client id at the issuer. The client is confidential and has the redirect address
    `{console_url}/session/callback` and, after a sign-out, `{console_url}/`."""
    sign_in_secret: SecretStr | None = Field(default=None, validate_default=True)
    sign_in_scope: Annotated[str, Field(min_length=1, max_length=1000)] = "openid offline_access ops:read ops:act"
    sign_in_key: SecretStr | None = Field(default=None, validate_default=True)
    """32 random bytes in base64 that encrypt the tokens in the database. For a rotation, put the new key before the old
    one, with a comma between them."""
    session_idle_seconds: Annotated[int, Field(ge=1)] = 3600
    """A session ends when its person has sent no request for so long."""
    session_seconds: Annotated[int, Field(ge=1)] = 12 * 3600
    """A session ends this long after its sign-in."""
    services: dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], Annotated[str, AfterValidator(_service_url)]
    ] = Field(default_factory=dict)
    """Addresses of the services that are asked for an operator: JSON like {"order-service": "http://10.0.0.1:8410"}."""

    answer_overdue_seconds: Annotated[float, Field(gt=0)] = 65.0
    """order-service cancels an order without an answer about so long after it was placed: the sum of its settings
    `answer_within_seconds` and `answer_outbox_seconds`."""

    @field_validator("sign_in_secret", "sign_in_key")
    @classmethod
    def _complete(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("console_url") is not None and (value is None or not value.get_secret_value()):
            raise ValueError("must be set, because CROSSDOCK_CONSOLE_URL is set")
        return value

    @field_validator("sign_in_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            keys_of(value)
        return value


def keys_of(secret: SecretStr) -> list[bytes]:
    """Return the keys, the newest first. Raise ValueError if one is not 32 bytes in base64."""
    found = []
    for each in secret.get_secret_value().split(","):
        try:
            key = base64.b64decode(each.strip(), altchars=b"-_" if set("-_") & set(each) else None, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError("must be 32 random bytes in base64, like the output of `openssl rand -base64 32`")
        found.append(key)
    return found
