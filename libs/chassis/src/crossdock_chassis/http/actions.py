"""What operators did, in every service."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from crossdock_chassis.database.actions import OperatorAction, find_actions
from crossdock_chassis.database.unit import Database
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import OpsReader
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit
from crossdock_chassis.http.dependencies import provided

LIST = Cursor("operator-actions", int)
Name = Annotated[str | None, Query(min_length=1, max_length=300, pattern=r"^[^\x00]+$")]


@dataclass(frozen=True, slots=True)
class OperatorActions:
    database: Database


OperatorActionsDep = Annotated[OperatorActions, provided(OperatorActions)]
router = APIRouter(prefix="/v1/operator-actions", tags=["operations"])


def feature(database: Database) -> Feature:
    return Feature(routers=[router], provides=[OperatorActions(database)])


@router.get("", summary="List what operators did, newest first")
async def get_operator_actions(
    caller: OpsReader,
    actions: OperatorActionsDep,
    who: Name = None,
    action: Name = None,
    target: Name = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[OperatorAction]:
    """Return who did what, and why. A dry run and an action that changed nothing are not in the list.

    Each row is kept for 400 days.
    """
    async with actions.database.unit() as unit:
        found = await find_actions(
            unit.sql,
            who=who,
            actions=[action] if action else (),
            targets=[target] if target else (),
            before=LIST.decode(cursor),
            limit=limit + 1,
        )
    page = found[:limit]
    return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)
