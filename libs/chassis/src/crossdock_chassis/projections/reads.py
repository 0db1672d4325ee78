"""Describe which events a service reads, and for what. The generated pages and `/v1/reactions` show it."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from crossdock_chassis.messaging.reactions import Reaction
from crossdock_chassis.projections.declare import Projection
from crossdock_events import CATALOGUE


class DeclaredReaction(BaseModel):
    """Events that the service reads, and the handler that gets them."""

    kind: Annotated[
        Literal["reaction", "projection", "log"],
        Field(description="A `reaction` acts, a `projection` stores a copy, a `log` keeps every record of every topic"),
    ]
    group: Annotated[str, Field(description="The consumer group; each generation of a projection adds its number")]
    projection: Annotated[str | None, Field(examples=["orders_now"])]
    handler: Annotated[str | None, Field(examples=["orders.decide.reserved"])]
    types: list[str]
    topics: list[str]


def declared(
    service: str, reactions: Sequence[Reaction], projections: Sequence[Projection], *, log: bool
) -> list[DeclaredReaction]:
    """Return what a service reads, in the order of its tables."""
    found = list(_rows(service, service, None, reactions))
    for each in projections:
        found += _rows(service, each.group(service), each.name, each.on)
    if log:
        topics = sorted(topic.name for topic in CATALOGUE.topics())
        found.append(
            DeclaredReaction(
                kind="log", group=f"{service}.log", projection=None, handler=None, types=_types(), topics=topics
            )
        )
    return found


def _types() -> list[str]:
    return [event.ce_type for event in CATALOGUE]


def _rows(service: str, group: str, projection: str | None, table: Sequence[Reaction]) -> Iterator[DeclaredReaction]:
    for row in table:
        events = [event for event in CATALOGUE if issubclass(event, row.event)]
        yield DeclaredReaction(
            kind="reaction" if projection is None else "projection",
            group=group,
            projection=projection,
            handler=f"{row.do.__module__}.{row.verb}".removeprefix(f"{service.replace('-', '_')}."),
            types=[event.ce_type for event in events],
            topics=sorted({event.topic.name for event in events}),
        )
