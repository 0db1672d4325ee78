"""Tokens of the development issuer, signed with its key: for those who hold its folder, as a stack does."""

import getpass
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from crossdock_cli.errors import CommandError

AUDIENCE: Final = "crossdock"


class Signer:
    """Signs like the issuer at `url`, because a few hundred requests to it take a while.

    Everyone else uses `partner add` and `POST /oauth/token`. All methods raise CommandError if a scope does not exist.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url

    def token(self, partner: str, scopes: Sequence[str]) -> str:
        """Return a bearer token of the partner."""
        return self.tokens([partner], scopes)[partner]

    def tokens(self, partners: Iterable[str], scopes: Sequence[str]) -> dict[str, str]:
        """Return a bearer token for each partner."""
        sign = self._signing(scopes)
        return {partner: sign(f"{partner}-local", partner) for partner in partners}

    def operator_token(self, scopes: Sequence[str], subject: str | None = None) -> str:
        """Return a bearer token without a partner. `subject` is the author in the audit, by default this user."""
        return self._signing(scopes)("local", None, subject=subject or _user())

    def _signing(self, scopes: Sequence[str]) -> Callable[..., str]:
        from crossdock_local import issuer  # noqa: PLC0415  (takes seconds to import, and few commands need it)

        if unknown := set(scopes) - set(issuer.SCOPES):
            raise CommandError(f"No such scope: {', '.join(sorted(unknown))}; there are {', '.join(issuer.SCOPES)}.")
        key = issuer.signing_key(self._folder)
        return partial(issuer.access_token, key, self._url, AUDIENCE, scopes=scopes)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has a number and no name
        return "operator"
