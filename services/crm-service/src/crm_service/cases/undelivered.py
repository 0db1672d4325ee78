"""Note in the history of a case that an answer to it has not arrived."""

from typing import Final
from uuid import UUID

from crm_service.cases.model import Did
from crm_service.cases.store import Entry, lock, record
from crm_service.post.compose import ANSWER
from crossdock_chassis import Unit

OF: Final = "SELECT case_id FROM mails WHERE id = $1 AND kind = $2 AND case_id IS NOT NULL"


async def undelivered(unit: Unit, mail_id: UUID, reason: str) -> None:
    """Note it for the people of the desk. The clocks stay as they are: the customer was answered in time."""
    case_id = await unit.sql.fetchval(OF, mail_id, ANSWER)
    if case_id is not None:
        case = await lock(unit, case_id, None)
        entry = Entry(Did.UNDELIVERED, "system", None, reason, mail_id)
        await record(unit, case, entry, case.keep(Did.UNDELIVERED), None)
