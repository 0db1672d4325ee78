"""The one place through which personal values are shown. They are masked unless the token has `pii:read`."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from crossdock_chassis import Caller, Unit, record_action

PII: Final = "pii:read"
HIDDEN: Final = "…"


@dataclass(frozen=True, slots=True)
class Eyes:
    """What a reader sees of personal values: all of them, or enough to distinguish two customers.

    `staff` see what the company notes about a customer, such as its owner.
    """

    open: bool
    staff: bool

    def name(self, value: str | None) -> str | None:
        return value if self.open or value is None else value[:1] + HIDDEN

    def email(self, value: str) -> str:
        return value if self.open else f"{value[:1]}{HIDDEN}@{HIDDEN}"

    def phone(self, value: str) -> str:
        return value if self.open else HIDDEN + value[-2:]

    def channel(self, kind: str, value: str) -> str:
        return self.email(value) if kind == "email" else self.phone(value)

    def text(self, value: str | None) -> str | None:
        return value if self.open or value is None else HIDDEN

    def day(self, value: date | None) -> date | None:
        return value if self.open else None

    def values(self, value: dict[str, Any]) -> dict[str, Any]:
        return value if self.open else dict.fromkeys(value, HIDDEN)

    def any(self, value: Any) -> Any:
        return value if self.open or value is None else HIDDEN


def eyes_of(caller: Caller) -> Eyes:
    return Eyes(PII in caller.scopes, staff=not caller.partner)


async def note_read(unit: Unit, caller: Caller, eyes: Eyes, target: str, **after: Any) -> None:
    """Audit that personal values were shown. A reader who saw masks is not noted."""
    if eyes.open:
        await record_action(unit, caller.actor, "customer:read", target, after=after or None)
