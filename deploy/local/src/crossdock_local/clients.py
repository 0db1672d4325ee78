"""The stack's own clients of its issuer: tokens for tests, the replay and `crossdock token`."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import httpx

from crossdock_local.errors import Refused
from crossdock_local.layout import Home

SCOPES = ("orders:read", "orders:write", "stock:read", "stock:write", "ops")
AddPartner = Callable[[Path, str, Sequence[str]], tuple[str, str]]


class Clients:
    """Keeps the secrets of the clients it made, because an issuer tells a secret once."""

    def __init__(self, home: Home, issuer_url: str, add_partner: AddPartner) -> None:
        self._home, self._issuer_url, self._add_partner = home, issuer_url, add_partner
        self._file = home.root / "secrets" / "clients.json"

    def tokens(self, partners: Iterable[str], scopes: Sequence[str]) -> dict[str, str]:
        """A token by partner. Raises Refused when the issuer does not answer or does not know a scope."""
        with httpx.Client(base_url=self._issuer_url, timeout=10) as issuer:
            return {partner: self._token(issuer, partner, scopes) for partner in partners}

    def _token(self, issuer: httpx.Client, partner: str, scopes: Sequence[str]) -> str:
        identifier, secret = self._credentials(partner)
        form = {"grant_type": "client_credentials", "scope": " ".join(scopes)}
        try:
            answer = issuer.post("/oauth/token", data=form, auth=(identifier, secret))
        except httpx.HTTPError as error:
            raise Refused(f"The issuer at {self._issuer_url} does not answer: is everything up?") from error
        if not answer.is_success:
            raise Refused(f"The issuer gave no token to {partner}: {answer.text}")
        return str(answer.json()["access_token"])

    def _credentials(self, partner: str) -> tuple[str, str]:
        known = self._known()
        if partner not in known:
            identifier, secret = self._add_partner(self._home.issuer, partner, SCOPES)
            known[partner] = [identifier, secret]
            self._keep(known)
        identifier, secret = known[partner]
        return identifier, secret

    def _known(self) -> dict[str, list[str]]:
        try:
            found: dict[str, list[str]] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return found

    def _keep(self, known: dict[str, list[str]]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(known, stream)
        fresh.replace(self._file)
