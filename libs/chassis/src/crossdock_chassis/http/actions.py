"""What operators did, in every service."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from crossdock_chassis.database.actions import OperatorAction, find_actions
from crossdock_chassis.database.unit import Database
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import OpsReader
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.problems import Problem, Refusal

LIST = Cursor("operator-actions", int)
Name = Annotated[str | None, Query(min_length=1, max_length=300, pattern=r"^[^\x00]+$")]
NO_SUCH_ACTION: Final = Problem(
    404,
    "no-such-operator-action",
    "No action has this id, or it is older than 400 days. GET /v1/operator-actions lists all.",
)


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


@router.get("/{id}", summary="Show what an operator did", responses=errors(NO_SUCH_ACTION))
async def get_operator_action(
    id: Annotated[int, Path(ge=1, le=2**63 - 1)], caller: OpsReader, actions: OperatorActionsDep
) -> OperatorAction:
    async with actions.database.unit() as unit:
        found = await find_actions(unit.sql, id=id, limit=1)
    if not found:
        raise Refusal(NO_SUCH_ACTION, f"No action {id}")
    return found[0]
