"""Tokens for tests: valid, expired, from another issuer and forged, and a verifier that needs no network."""

import time
from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64encode

from crossdock_chassis.http.tokens import Key, StaticKeys, TokenVerifier


class Signer:
    """A signing key and its issuer.

    issuer = Signer.generate()
    issuer.token("acme", ["orders:write"])                     # valid
    issuer.token(None, ["ops:read"], subject="ann")            # of an operator
    issuer.token("acme", claims={"exp": 1})                    # expired; a claim that is None is left out
    Signer.generate().token("acme", kid=issuer.kid)            # forged: names the key of another signer
    Api(…, verifier=issuer.verifier())                         # an application that trusts this issuer alone
    """

    def __init__(self, key: Key, *, issuer: str = "https://issuer.test", audience: str = "crossdock") -> None:
        key.ensure_kid()
        self.key, self.issuer, self.audience = key, issuer, audience
        self.algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, issuer: str = "https://issuer.test") -> "Signer":
        key: Key = RSAKey.generate_key(2048) if algorithm == "RS256" else ECKey.generate_key("P-256")
        return cls(key, issuer=issuer)

    @property
    def kid(self) -> str:
        return str(self.key.kid)

    def jwks(self) -> dict[str, Any]:
        """Return the public part of the key as a key set."""
        return {"keys": [{**self.key.as_dict(private=False), "use": "sig", "alg": self.algorithm, "kid": self.kid}]}

    def verifier(self) -> TokenVerifier:
        """Return a verifier that trusts only this key and needs no network."""
        return TokenVerifier(StaticKeys(self.jwks()), issuer=self.issuer, audience=self.audience)

    def token(
        self,
        partner: str | None,
        scopes: Collection[str] = (),
        *,
        subject: str | None = None,
        client_id: str | None = None,
        lifetime: int = 3600,
        claims: Mapping[str, Any] | None = None,
        kid: str | None = None,
        typ: str = "at+jwt",
    ) -> str:
        now = int(time.time())
        client = client_id or partner or "console"
        all_claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject or client,
            "client_id": client,
            "partner": partner,
            "scope": " ".join(scopes),
            "iat": now,
            "exp": now + lifetime,
            "jti": str(uuid4()),
            **(claims or {}),
        }
        stated = {name: value for name, value in all_claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": kid or self.kid}
        return jwt.encode(header, stated, self.key, algorithms=[self.algorithm], default_type=typ)

    def unsigned(self, partner: str) -> str:
        """Return a token with `alg: none`, which must never be accepted."""
        payload = self.token(partner).split(".")[1]
        header = urlsafe_b64encode(b'{"alg":"none"}').decode()
        return f"{header}.{payload}."
