"""Ask the services which topics they read, and for what."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from analytics_service.asking import NoAnswer, Services


class _Reaction(BaseModel):
    """An entry of `/v1/reactions`. Other fields are ignored, so newer services are understood."""

    kind: str
    group: str
    projection: str | None
    handler: str | None
    types: list[str]
    topics: list[str]


class _Reactions(BaseModel):
    items: list[_Reaction]


class Reader(BaseModel):
    """A handler of a service, and the types of the topic that it gets."""

    service: str
    kind: Annotated[
        str,
        Field(
            description="A `reaction` acts, a `projection` stores a copy, a `log` keeps each record. More may be added",
            examples=["reaction"],
        ),
    ]
    group: Annotated[
        str, Field(description="The consumer group; each generation of a projection adds its number to it")
    ]
    projection: str | None
    handler: Annotated[str | None, Field(examples=["orders.decide.reserved"])]
    types: list[str]


class Silent(BaseModel):
    """A service that did not answer: whether it reads the topics is not known."""

    service: str
    reason: str


@dataclass(frozen=True, slots=True)
class Readers:
    """What the services answered."""

    reactions: Sequence[tuple[str, _Reaction]]
    silent: list[Silent]

    def of(self, topic: str, types: Sequence[str]) -> list[Reader]:
        """Return the handlers that get these types of a topic, by service."""
        return [
            Reader(service=service, types=[type for type in each.types if type in types], **_shown(each))
            for service, each in self.reactions
            if topic in each.topics
        ]


def _shown(each: _Reaction) -> dict[str, str | None]:
    return each.model_dump(include={"kind", "group", "projection", "handler"})


async def ask_readers(services: Services, token: str) -> Readers:
    """Ask all services at once with the caller's token."""
    answers = await asyncio.gather(*(_ask(services, name, token) for name in services.names))
    reactions = [
        (name, each)
        for name, answer in zip(services.names, answers, strict=True)
        if not isinstance(answer, Silent)
        for each in answer.items
    ]
    return Readers(reactions, [answer for answer in answers if isinstance(answer, Silent)])


async def _ask(services: Services, name: str, token: str) -> _Reactions | Silent:
    try:
        return await services.ask(name, "/v1/reactions", _Reactions, token=token)
    except NoAnswer as error:
        return Silent(service=name, reason=error.reason)
