"""Topics over HTTP, for operators."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from pydantic import Field

from analytics_service.asking import Services, token_of
from analytics_service.topics.model import Activity
from analytics_service.topics.readers import Reader, Silent, ask_readers
from analytics_service.topics.views import activities
from crossdock_chassis import Database, OpsReader, Page, Problem, Refusal, errors, limited, provided
from crossdock_events import CATALOGUE
from crossdock_events.descriptions import TopicDescription, TopicFacts, describe
from crossdock_events.examples import EXAMPLES

AT_ONCE: Final = 8
"""Requests of one person: each tab that shows the page sends one at a time."""
TOPICS: Final = {topic.name: topic for topic in describe(CATALOGUE, EXAMPLES)}

NO_SUCH_TOPIC: Final = Problem(404, "no-such-topic", "No contract declares this topic. GET /v1/topics lists all.")

_Readers = Annotated[list[Reader], Field(description="Without the handlers of the services in `silent`")]


class TopicSummary(TopicFacts):
    """A topic, its readers, and what the log has of it."""

    activity: Activity
    readers: _Readers


class TopicView(TopicDescription):
    """A topic with its events, its readers, and what the log has of it."""

    activity: Activity
    readers: _Readers
    silent: list[Silent]


class TopicPage(Page[TopicSummary]):
    """All topics, by name."""

    silent: list[Silent]


@dataclass(frozen=True, slots=True)
class Topics:
    """The dependency of the routes."""

    database: Database
    services: Services

    async def watch(self, topics: Sequence[TopicDescription], token: str) -> list[TopicView]:
        """Return the topics with their activity and readers."""
        now, readers = await asyncio.gather(
            activities(self.database, {each.name: each.partitions for each in topics}),
            ask_readers(self.services, token),
        )
        return [
            TopicView(
                **each.model_dump(),
                activity=now[each.name],
                readers=readers.of(each.name, each.types),
                silent=readers.silent,
            )
            for each in topics
        ]


TopicsDep = Annotated[Topics, provided(Topics)]
LIMITED: Final = [limited("topics", at_once=AT_ONCE)]
router = APIRouter(prefix="/v1/topics", tags=["events"])


@router.get("", dependencies=LIMITED, summary="List the topics")
async def get_topics(request: Request, caller: OpsReader, topics: TopicsDep) -> TopicPage:
    """Return all topics that the contracts declare, with their readers, their rate and their last record.

    The services are asked for their readers with the caller's token, each for at most two seconds. `silent` lists those
    that did not answer.
    """
    found = await topics.watch([*TOPICS.values()], token_of(request))
    facts = set(TopicSummary.model_fields)
    return TopicPage(items=[TopicSummary(**each.model_dump(include=facts)) for each in found], silent=found[0].silent)


@router.get("/{name}", dependencies=LIMITED, summary="Show a topic with its events", responses=errors(NO_SUCH_TOPIC))
async def get_topic(
    name: Annotated[str, Path(max_length=249, examples=["crossdock.orders.v1"])],
    request: Request,
    caller: OpsReader,
    topics: TopicsDep,
) -> TopicView:
    """Return what `GET /v1/topics` has of a topic, and each of its events with an example."""
    if name not in TOPICS:
        raise Refusal(NO_SUCH_TOPIC, f"No topic {name}")
    (found,) = await topics.watch([TOPICS[name]], token_of(request))
    return found
