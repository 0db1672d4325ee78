"""The search over HTTP, for operators: no index has the log's ids by partner."""

from dataclasses import dataclass
from typing import Annotated, Final

import asyncpg
from fastapi import APIRouter, Query

from analytics_service.search import views
from analytics_service.search.model import LONGEST, SHORTEST, wanted
from analytics_service.search.views import Matches
from crossdock_chassis import INVALID, Database, OpsReader, Problem, Refusal, errors, limited, provided

TOO_SLOW: Final = Problem(
    503,
    "search-took-too-long",
    "The search took longer than a second; search again, or type more",
    headers={"Retry-After": "1"},
)


@dataclass(frozen=True, slots=True)
class Finder:
    """The dependency of the route."""

    database: Database


FinderDep = Annotated[Finder, provided(Finder)]
router = APIRouter(prefix="/v1", tags=["search"])


@router.get(
    "/search",
    dependencies=[limited("search")],
    responses=errors(TOO_SLOW),
    summary="Find orders, items, partners and events by their beginning",
)
async def get_search(
    caller: OpsReader,
    finder: FinderDep,
    q: Annotated[str, Query(max_length=200, description="The beginning, or all of it: 2 to 100 characters")],
    limit: Annotated[int, Query(ge=1, le=50, description="The most results of each kind")] = 5,
) -> Matches:
    """Compare the beginnings of order ids and references, items, partners, and ids of events, correlations and traces.

    References, items and partners are compared as typed, and in upper and in lower case. An id may have its hyphens or
    not. Events of the last 30 days are found. Spaces around `q` do not count.
    """
    text = q.strip()
    if not SHORTEST <= len(text) <= LONGEST:
        detail = f"Send {SHORTEST} to {LONGEST} characters besides spaces"
        raise Refusal(INVALID, errors=[{"in": "query", "parameter": "q", "detail": detail, "code": "length"}])
    try:
        return await views.search(finder.database, text, wanted(text), limit)
    except asyncpg.QueryCanceledError:
        raise Refusal(TOO_SLOW) from None
