"""Rate limits over HTTP, in services with route groups. Each change stores its author."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crossdock_chassis.database.unit import Database
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import Operator, OpsReader
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit, json_response
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.limits import ANY_PARTNER, LATEST, Limits
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.http.request import Caller
from crossdock_chassis.http.tokens import is_partner_name
from crossdock_chassis.problems import Problem, Refusal
from crossdock_chassis.quantities import Number

NO_SUCH_GROUP = Problem(404, "no-such-route-group", "No route of this service is in that group; see `route_groups`")
NO_SUCH_LIMIT = Problem(404, "no-such-limit", "No limit is set for this partner and route group")

LIMITS = Cursor("limits", tuple[str, str])
CHANGES = Cursor("limit-changes", int)

LIST = f"{LATEST} AND (partner, route_group) > ($1, $2) ORDER BY partner, route_group LIMIT $3"
HISTORY = "SELECT * FROM rate_limit WHERE id < $1 ORDER BY id DESC LIMIT $2"
CHANGE = """
    INSERT INTO rate_limit (partner, route_group, rate, burst, changed_by) VALUES ($1, $2, $3, $4, $5) RETURNING *
"""
IS_SET = f"SELECT EXISTS ({LATEST} AND (partner, route_group) = ($1, $2))"
NEWEST = 2**63 - 1


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

    async def change(
        self, caller: Caller, partner: str, route_group: str, rate: float | None, burst: int | None
    ) -> asyncpg.Record:
        """Set a limit, or remove it without a rate. Raise Refusal if there is none to remove."""
        async with self.database.unit() as unit:
            if rate is None and not await unit.sql.fetchval(IS_SET, partner, route_group):
                raise Refusal(NO_SUCH_LIMIT, f"{partner} has no limit for the route group {route_group}")
            row: asyncpg.Record = await unit.sql.fetchrow(CHANGE, partner, route_group, rate, burst, caller.who)
        await self.limits.refresh()
        return row


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
    found = [RateLimit(**{name: row[name] for name in RateLimit.model_fields}) for row in rows]
    page = found[:limit]
    more = len(found) > limit
    return Page(items=page, next=LIMITS.encode((page[-1].partner, page[-1].route_group)) if more else None)


@router.get("/changes", summary="List all changes of limits, newest first")
async def get_changes(
    caller: OpsReader, of: RateLimitsDep, limit: PageLimit = 100, cursor: PageCursor = None
) -> Page[LimitChange]:
    async with of.database.unit() as unit:
        rows = await unit.sql.fetch(HISTORY, CHANGES.decode(cursor) or NEWEST, limit + 1)
    page = [LimitChange(**dict(row)) for row in rows[:limit]]
    return Page(items=page, next=CHANGES.encode(page[-1].id) if len(rows) > limit else None)


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
    row = await of.change(caller, partner, route_group, body.rate, body.burst)
    return json_response(RateLimit(**{name: row[name] for name in RateLimit.model_fields}))


@router.delete(
    "/{route_group}/{partner:path}",
    status_code=204,
    summary="Remove a partner's limit",
    responses=errors(NO_SUCH_LIMIT),
)
async def delete_limit(route_group: Group, partner: Partner, caller: Operator, of: RateLimitsDep) -> None:
    await of.change(caller, partner, route_group, None, None)
