"""End the notices to a mail address."""

from dataclasses import dataclass

from pydantic import BaseModel

from crm_service.post.suppress import suppress
from crossdock_chassis import Unit


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """`address` is the keyed hash of a mail address."""

    address: bytes


class Unsubscribed(BaseModel):
    unsubscribed: bool


async def unsubscribe(unit: Unit, command: Unsubscribe) -> Unsubscribed:
    """Send no notices to the address any more. Answers to its own messages still go out."""
    await suppress(unit, command.address, "notice", "unsubscribed")
    return Unsubscribed(unsubscribed=True)
