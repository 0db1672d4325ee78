"""The consumer groups of Kafka over HTTP, for operators."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path

from analytics_service.consumers import views
from analytics_service.consumers.views import NO_SUCH_GROUP, ConsumerGroupDetail, ConsumerGroups
from crossdock_chassis import Database, OpsReader, PageCursor, PageLimit, errors, provided


@dataclass(frozen=True, slots=True)
class Consumers:
    """The dependency of the routes."""

    database: Database


ConsumersDep = Annotated[Consumers, provided(Consumers)]
router = APIRouter(prefix="/v1/consumers", tags=["consumers"])


@router.get("", summary="List the consumer groups of Kafka, also of other systems")
async def get_consumers(
    caller: OpsReader, consumers: ConsumersDep, cursor: PageCursor = None, limit: PageLimit = 100
) -> ConsumerGroups:
    """Return one page by name, with the lag of each group, also if its consumers are dead.

    Positions are those that the group has committed to Kafka. Services commit theirs once a second, and go by their own
    database: `/v1/operations` of the service has the exact ones, stops and dead letters.
    """
    after = views.CONSUMERS.decode(cursor)
    async with consumers.database.unit() as unit:
        return await views.groups(unit.sql, unit.now, after, limit)


@router.get("/{group}", summary="Show a consumer group", responses=errors(NO_SUCH_GROUP))
async def get_consumer(
    group: Annotated[str, Path(min_length=1, max_length=255, description="The name of the group")],
    caller: OpsReader,
    consumers: ConsumersDep,
) -> ConsumerGroupDetail:
    """Return its partitions, and its lag over the last hour."""
    async with consumers.database.unit() as unit:
        return await views.group(unit.sql, unit.now, group)
