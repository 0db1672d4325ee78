"""Topics over HTTP, for operators."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Path

from analytics_service.topics.model import Activity
from analytics_service.topics.views import activities
from crossdock_chassis import Database, OpsReader, Page, Problem, errors, provided
from crossdock_events import CATALOGUE
from crossdock_events.descriptions import TopicDescription, TopicFacts, describe
from crossdock_events.examples import EXAMPLES

GROUP: Final = "analytics-service.log"
TOPICS: Final = {topic.name: topic for topic in describe(CATALOGUE, EXAMPLES)}


class NoSuchTopic(Exception):
    pass


NO_SUCH_TOPIC: Final = Problem(
    404, "no-such-topic", "No contract declares this topic. GET /v1/topics lists all."
)
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchTopic: NO_SUCH_TOPIC}


class TopicSummary(TopicFacts):
    """A topic, and what the log has of it."""

    activity: Activity


class TopicView(TopicDescription):
    """A topic with its events, and what the log has of it."""

    activity: Activity


@dataclass(frozen=True, slots=True)
class Topics:
    """The dependency of the routes."""

    database: Database


TopicsDep = Annotated[Topics, provided(Topics)]
router = APIRouter(prefix="/v1/topics", tags=["events"])


@router.get("", summary="List the topics")
async def get_topics(caller: OpsReader, topics: TopicsDep) -> Page[TopicSummary]:
    """Return all topics that the contracts declare, with their rate and their last record."""
    now = await activities(topics.database, GROUP, {name: each.partitions for name, each in TOPICS.items()})
    facts = set(TopicFacts.model_fields)
    return Page(
        items=[TopicSummary(**each.model_dump(include=facts), activity=now[name]) for name, each in TOPICS.items()]
    )


@router.get("/{name}", summary="Show a topic with its events", responses=errors(NO_SUCH_TOPIC))
async def get_topic(
    name: Annotated[str, Path(max_length=249, examples=["crossdock.orders.v1"])], caller: OpsReader, topics: TopicsDep
) -> TopicView:
    """Return what the contracts declare, an example of each event, and what the log has of the topic."""
    found = TOPICS.get(name)
    if found is None:
        raise NoSuchTopic(name)
    now = await activities(topics.database, GROUP, {name: found.partitions})
    return TopicView(**found.model_dump(), activity=now[name])
