"""The addresses of the service desk, and what is signed with its key: addresses of cases and mails, and links."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from crm_service.customers.model import match_of

DESK: Final = "support"
COMPLAINTS: Final = "complaints"
BOUNCE: Final = "bounce"
LINK_DAYS: Final = 60
"""RFC 8058 asks for links that work for long. A mail from an older time has a person's address to write to."""
_SIGNED: Final = re.compile(r"[a-z]+\+([0-9]{1,18})-([0-9a-f]{24})@", re.ASCII)
_BOUNCE: Final = re.compile(rf"{BOUNCE}\+([0-9a-f]{{32}})-([0-9a-f]{{24}})@", re.ASCII)
_EXPIRY_BYTES: Final = 4
_DIGEST_BYTES: Final = 16  # with the expiry a multiple of three: base64 then has no bits to alter


class Link(NamedTuple):
    """What a link is for. `address` is the keyed hash of a mail address."""

    address: bytes
    expires: datetime


@dataclass(frozen=True, slots=True)
class Addresses:
    """The domain of the desk. `key` signs addresses of cases, so that nobody can make one for another case."""

    domain: str
    key: bytes

    @property
    def desk(self) -> str:
        return f"{DESK}@{self.domain}"

    def of_case(self, number: int) -> str:
        return f"{DESK}+{number}-{self._signature(f'case {number}')}@{self.domain}"

    def case_of(self, address: str) -> int | None:
        """Return the number of the case that an address is signed for, or None."""
        found = _SIGNED.match(address.lower())
        return int(found[1]) if found and self._is_signed(f"case {int(found[1])}", found[2]) else None

    def bounce_of(self, mail_id: UUID) -> str:
        """Return the envelope sender of a mail out. Reports that come to it are about this mail."""
        return f"{BOUNCE}+{mail_id.hex}-{self._signature(f'bounce {mail_id.hex}')}@{self.domain}"

    def bounced(self, address: str) -> UUID | None:
        """Return the mail out that an address is signed for, or None."""
        found = _BOUNCE.match(address.lower())
        return UUID(found[1]) if found and self._is_signed(f"bounce {found[1]}", found[2]) else None

    def is_complaint(self, address: str) -> bool:
        return self.is_ours(address) and address.lower().startswith(COMPLAINTS)

    def is_ours(self, address: str) -> bool:
        return address.lower().endswith(f"@{self.domain}")

    def digest(self, address: str) -> bytes:
        """Return the keyed hash under which an address is stored that gets no mail. It outlives an erasure."""
        return self._mac(f"address {match_of(address)}")[:_DIGEST_BYTES]

    def link(self, purpose: str, address: str, now: datetime) -> str:
        """Return the token of a link that needs no sign-in: for one purpose, one address and LINK_DAYS."""
        expires = int((now + timedelta(days=LINK_DAYS)).timestamp()).to_bytes(_EXPIRY_BYTES, "big")
        content = expires + self.digest(address)
        return base64.urlsafe_b64encode(content + self._link_mac(purpose, content)).rstrip(b"=").decode()

    def opened(self, purpose: str, token: str) -> Link | None:
        """Return what a token is for, also if it has expired. None if it is altered or made for another purpose."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        content, mac = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
        if len(content) != _EXPIRY_BYTES + _DIGEST_BYTES or not hmac.compare_digest(
            mac, self._link_mac(purpose, content)
        ):
            return None
        expires = datetime.fromtimestamp(int.from_bytes(content[:_EXPIRY_BYTES], "big"), UTC)
        return Link(content[_EXPIRY_BYTES:], expires)

    def _link_mac(self, purpose: str, content: bytes) -> bytes:
        return self._mac(f"link {purpose} {content.hex()}")[:_DIGEST_BYTES]

    def _is_signed(self, what: str, signature: str) -> bool:
        return hmac.compare_digest(signature, self._signature(what))

    def _signature(self, what: str) -> str:
        return self._mac(what).hex()[:24]

    def _mac(self, what: str) -> bytes:
        return hmac.new(self.key, what.encode(), hashlib.sha256).digest()
