"""The addresses of the service desk, and the signed address of a case."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

DESK: Final = "support"
COMPLAINTS: Final = "complaints"
_SIGNED: Final = re.compile(r"[a-z]+\+([0-9]{1,18})-([0-9a-f]{24})@", re.ASCII)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The domain of the desk. `key` signs addresses of cases, so that nobody can make one for another case."""

    domain: str
    key: bytes

    @property
    def desk(self) -> str:
        return f"{DESK}@{self.domain}"

    def of_case(self, number: int) -> str:
        return f"{DESK}+{number}-{self._signature(number)}@{self.domain}"

    def case_of(self, address: str) -> int | None:
        """Return the number of the case that an address is signed for, or None."""
        found = _SIGNED.match(address.lower())
        if found is None:
            return None
        number = int(found[1])
        return number if hmac.compare_digest(found[2], self._signature(number)) else None

    def is_ours(self, address: str) -> bool:
        return address.lower().endswith(f"@{self.domain}")

    def _signature(self, number: int) -> str:
        return hmac.new(self.key, f"case {number}".encode(), hashlib.sha256).hexdigest()[:24]
