"""What all endpoints of the development issuer share: forms, credentials and errors of OAuth 2 (RFC 6749)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse

MAX_FORM_BYTES: Final = 16 * 1024
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """An error response of RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str, status: int = 400, *, basic: bool = False) -> None:
        super().__init__(description)
        self.error, self.status, self.basic = error, status, basic


async def refused(_: Request, error: Exception) -> JSONResponse:
    """Render an OAuthError."""
    assert isinstance(error, OAuthError)
    headers = dict(NO_STORE)
    if error.basic:
        headers["WWW-Authenticate"] = 'Basic realm="crossdock"'
    return JSONResponse({"error": error.error, "error_description": str(error)}, error.status, headers)


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of the body. Raise OAuthError if it is no form, too large, or has a field twice."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "send application/x-www-form-urlencoded")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise OAuthError("invalid_request", "the form is too large", 413)
    return fields_of(body)


def fields_of(encoded: bytes) -> dict[str, str]:
    """Return the fields of a form or a query. Raise OAuthError if it is not readable or has a field twice."""
    try:
        fields = parse_qsl(encoded.decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise OAuthError("invalid_request", "the form cannot be read") from None
    form = dict(fields)
    if len(form) != len(fields):
        raise OAuthError("invalid_request", "a parameter was sent twice")
    return form


def credentials_of(request: Request, form: Mapping[str, str]) -> tuple[str, str, bool]:
    """Return the client id, the secret, and whether they came by HTTP Basic."""
    header = request.headers.get("authorization")
    if header is None:
        if not form.get("client_id") or not form.get("client_secret"):
            raise OAuthError("invalid_client", "send client_id and client_secret", 401, basic=True)
        return form["client_id"], form["client_secret"], False
    if "client_secret" in form:
        raise OAuthError("invalid_request", "authenticate once: in the header or in the form")
    scheme, _, encoded = header.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client", "the Authorization header is not HTTP Basic", 401, basic=True)
    return unquote_plus(client_id), unquote_plus(secret), True
