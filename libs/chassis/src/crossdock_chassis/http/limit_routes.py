"""Rate limits over HTTP, in services with route groups. Each change stores its author."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crossdock_chassis.database.actions import OperatorAction, find_actions, record_action
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import Operator, OpsReader
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit, json_response
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.limits import ANY_PARTNER, Limits
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.http.request import Caller
from crossdock_chassis.http.routing import segment
from crossdock_chassis.http.tokens import is_partner_name
from crossdock_chassis.problems import Problem, Refusal
from crossdock_chassis.quantities import Number

NO_SUCH_GROUP = Problem(404, "no-such-route-group", "No route of this service is in that group; see `route_groups`")
NO_SUCH_LIMIT = Problem(404, "no-such-limit", "No limit is set for this partner and route group")

LIMITS = Cursor("limits", tuple[str, str])
CHANGES = Cursor("limit-changes", int)
ACTIONS = ("limit:set", "limit:remove")
KEY = {"partner", "route_group"}

LIST = """
    SELECT * FROM rate_limit WHERE (partner, route_group) > ($1, $2) ORDER BY partner, route_group LIMIT $3
"""
# The lock makes the row before a change the one that the change replaces, also if there is none.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 2))"
FIND = "SELECT * FROM rate_limit WHERE (partner, route_group) = ($1, $2)"
SET = """
    INSERT INTO rate_limit (partner, route_group, rate, burst, changed_by) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (partner, route_group) DO UPDATE
    SET rate = excluded.rate, burst = excluded.burst, changed_by = excluded.changed_by, changed_at = now()
    RETURNING *
"""
REMOVE = "DELETE FROM rate_limit WHERE (partner, route_group) = ($1, $2)"


def _usable(partner: str) -> str:
    if not is_partner_name(partner):
        raise ValueError("a partner's name has 1 to 64 printable characters in NFC and no blanks")
    return partner


Group = Annotated[str, Path(max_length=64, examples=["orders"])]
Partner = Annotated[
    str,
    Path(
        min_length=1,
        max_length=64,
        description=f"`{ANY_PARTNER}`: each partner that has no limit of its own",
        examples=["acme"],
    ),
    AfterValidator(_usable),
]


class LimitIn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rate: Annotated[float, Field(ge=0.001, le=100_000, allow_inf_nan=False, description="Requests a second")]
    burst: Annotated[int, Number(1, 1_000_000), Field(description="Requests at once, after a pause")]
    reason: Annotated[str | None, Field(min_length=1, max_length=500)] = None


class RateLimit(BaseModel):
    partner: str
    route_group: str
    rate: float
    burst: int
    changed_at: datetime
    changed_by: str


class LimitChange(BaseModel):
    """Without `rate` and `burst` the limit was removed."""

    id: int
    partner: str
    route_group: str
    rate: float | None
    burst: int | None
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class RateLimits:
    database: Database
    limits: Limits
    groups: Collection[str]

    async def set(self, caller: Caller, partner: str, route_group: str, wanted: LimitIn) -> RateLimit:
        async with self.database.unit() as unit:
            before = await self._lock(unit, partner, route_group)
            row = await unit.sql.fetchrow(SET, partner, route_group, wanted.rate, wanted.burst, caller.who)
            limit = RateLimit(**row)
            await self._acted(unit, caller, "limit:set", limit, wanted.reason, before)
        await self.limits.refresh()
        return limit

    async def remove(self, caller: Caller, partner: str, route_group: str, reason: str | None) -> None:
        """Remove a limit. Raise Refusal if there is none."""
        async with self.database.unit() as unit:
            before = await self._lock(unit, partner, route_group)
            if before is None:
                raise Refusal(NO_SUCH_LIMIT, f"{partner} has no limit for the route group {route_group}")
            await unit.sql.execute(REMOVE, partner, route_group)
            await self._acted(unit, caller, "limit:remove", before, reason, before)
        await self.limits.refresh()

    async def _lock(self, unit: Unit, partner: str, route_group: str) -> RateLimit | None:
        await unit.sql.execute(LOCK, partner, route_group)
        row = await unit.sql.fetchrow(FIND, partner, route_group)
        return None if row is None else RateLimit(**row)

    async def _acted(
        self, unit: Unit, caller: Caller, action: str, limit: RateLimit, why: str | None, was: RateLimit | None
    ) -> None:
        shown = KEY if action == "limit:remove" else KEY | {"rate", "burst"}
        await record_action(
            unit,
            caller.actor,
            action,
            f"/v1/limits/{segment(limit.route_group)}/{segment(limit.partner)}",
            why=why,
            before=None if was is None else was.model_dump(include=KEY | {"rate", "burst"}),
            after=limit.model_dump(include=shown),
        )


RateLimitsDep = Annotated[RateLimits, provided(RateLimits)]
router = APIRouter(prefix="/v1/limits", tags=["operations"])


def feature(database: Database, limits: Limits, groups: Collection[str]) -> Feature:
    return Feature(routers=[router], provides=[RateLimits(database, limits, groups)])


@router.get("", summary="List the limits that are set")
async def get_limits(
    caller: OpsReader, of: RateLimitsDep, limit: PageLimit = 100, cursor: PageCursor = None
) -> Page[RateLimit]:
    """Partners that are not listed are not limited. Processes follow a change within seconds."""
    async with of.database.unit() as unit:
        rows = await unit.sql.fetch(LIST, *(LIMITS.decode(cursor) or ("", "")), limit + 1)
    found = [RateLimit(**row) for row in rows]
    page = found[:limit]
    more = len(found) > limit
    return Page(items=page, next=LIMITS.encode((page[-1].partner, page[-1].route_group)) if more else None)


@router.get("/changes", summary="List all changes of limits, newest first")
async def get_changes(
    caller: OpsReader, of: RateLimitsDep, limit: PageLimit = 100, cursor: PageCursor = None
) -> Page[LimitChange]:
    async with of.database.unit() as unit:
        found = await find_actions(unit.sql, actions=ACTIONS, before=CHANGES.decode(cursor), limit=limit + 1)
    page = [_change(each) for each in found[:limit]]
    return Page(items=page, next=CHANGES.encode(page[-1].id) if len(found) > limit else None)


@router.put(
    "/{route_group}/{partner:path}",
    response_model=RateLimit,
    summary="Set a partner's limit for a route group",
    responses=errors(NO_SUCH_GROUP),
)
async def put_limit(
    route_group: Group, partner: Partner, body: LimitIn, caller: Operator, of: RateLimitsDep
) -> Response:
    """Let `burst` requests through at once, then `rate` a second, counted over all processes of the service."""
    if route_group not in of.groups:
        known = ", ".join(sorted(of.groups))
        raise Refusal(
            NO_SUCH_GROUP, f"The route groups are {known}, not {route_group}", extra={"route_groups": sorted(of.groups)}
        )
    return json_response(await of.set(caller, partner, route_group, body))


@router.delete(
    "/{route_group}/{partner:path}",
    status_code=204,
    summary="Remove a partner's limit",
    responses=errors(NO_SUCH_LIMIT),
)
async def delete_limit(
    route_group: Group,
    partner: Partner,
    caller: Operator,
    of: RateLimitsDep,
    reason: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
) -> None:
    await of.remove(caller, partner, route_group, reason)


def _change(action: OperatorAction) -> LimitChange:
    after = action.after or {}
    return LimitChange(
        id=action.id,
        partner=after["partner"],
        route_group=after["route_group"],
        rate=after.get("rate"),
        burst=after.get("burst"),
        changed_at=action.at,
        changed_by=action.who,
    )
