"""Attach a file to a case, once all of its bytes are stored."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from crm_service.attachments import store
from crossdock_chassis import Actor, Unit, record_action


class UploadLost(Exception):
    """The upload took so long that its bytes were swept."""


@dataclass(frozen=True, slots=True)
class Attach:
    """`by` is None for a partner: actions of staff are audited."""

    id: UUID
    case_id: UUID
    size: int
    sha256: bytes
    by: Actor | None


class Attached(BaseModel):
    """`case_id` lets an erasure find the body of the request, which has the name of the file."""

    attachment_id: UUID
    case_id: UUID | None = None


async def attach(unit: Unit, command: Attach) -> Attached:
    """Show the attachment. Raise UploadLost."""
    if not await store.end(unit, command.id, command.size, command.sha256):
        raise UploadLost("The upload took too long; send the file again")
    if command.by is not None:
        target = f"/v1/cases/{command.case_id}/attachments/{command.id}"
        await record_action(unit, command.by, "case:attach", target, after={"size": command.size})
    return Attached(attachment_id=command.id, case_id=command.case_id)
