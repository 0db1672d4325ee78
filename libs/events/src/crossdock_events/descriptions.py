"""Describe topics and events as data. The generated pages, `/v1/topics` and `crossdock events catalogue` show it."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, Field

from crossdock_events._catalogue import Catalogue
from crossdock_events._event import Carries, Event, Stability, Topic, name_of
from crossdock_events.examples import Example


class EventDescription(BaseModel):
    """A type of event, as its contract declares it."""

    type: Annotated[str, Field(description="Name and major version", examples=["crossdock.OrderPlaced.v1"])]
    stability: Annotated[Stability, Field(description="`stable` changes in compatible ways only")]
    carries: Annotated[
        Carries, Field(description="`state`: the latest event of a key counts; `change`: each adds to the earlier ones")
    ]
    visible_to_partner: Annotated[
        str | None, Field(description="The field with the partner that sees the event; null if no partner sees it")
    ]
    meaning: str
    example: Annotated[dict[str, Any] | None, Field(description="The data of one event")]
    schema_path: Annotated[str, Field(examples=["/v1/schemas/crossdock.OrderPlaced.v1"])]
    examples_path: Annotated[str, Field(examples=["/v1/schemas/crossdock.OrderPlaced.v1/examples"])]

    @property
    def name(self) -> str:
        """Return `OrderPlaced` for `crossdock.OrderPlaced.v1`."""
        return name_of(self.type).rpartition(".")[2]

    @property
    def version(self) -> str:
        return self.type.rpartition(".")[2]

    @property
    def summary(self) -> str:
        """Return the first sentence of the meaning."""
        return self.meaning.partition(". ")[0].rstrip(".") + "."


class TopicFacts(BaseModel):
    """A topic, as its contracts declare it."""

    name: Annotated[str, Field(examples=["crossdock.orders.v1"])]
    key: Annotated[str, Field(description="The field whose value is the Kafka key of each event")]
    owner: Annotated[str, Field(description="The only service that writes it", examples=["order-service"])]
    partitions: Annotated[int, Field(description="As the topic is created; an operator may have added more")]
    retention_days: Annotated[int | None, Field(description="Days that Kafka keeps an event; null: for ever")]
    types: Annotated[list[str], Field(description="The types of its events")]

    @property
    def kept(self) -> str:
        return "for ever" if self.retention_days is None else f"{self.retention_days} days"


class TopicDescription(TopicFacts):
    events: list[EventDescription]


def describe(catalogue: Catalogue, examples: Iterable[Example]) -> list[TopicDescription]:
    """Return all topics by name. The events of a topic are in the order of their declaration."""
    samples: dict[str, dict[str, Any]] = {}
    for each in examples:
        event = each.envelope.event
        samples.setdefault(event.ce_type, event.model_dump(mode="json", exclude_none=True))
    return [_topic(catalogue, topic, samples) for topic in sorted(catalogue.topics(), key=lambda each: each.name)]


def _topic(catalogue: Catalogue, topic: Topic, samples: dict[str, dict[str, Any]]) -> TopicDescription:
    contracts = [contract for contract in catalogue if contract.topic == topic]
    return TopicDescription(
        name=topic.name,
        key=topic.key,
        owner=topic.owner,
        partitions=topic.partitions,
        retention_days=topic.retention_days,
        types=[contract.ce_type for contract in contracts],
        events=[_event(contract, samples.get(contract.ce_type)) for contract in contracts],
    )


def _event(contract: type[Event], sample: dict[str, Any] | None) -> EventDescription:
    return EventDescription(
        type=contract.ce_type,
        stability=contract.stability,
        carries=contract.carries,
        visible_to_partner=contract.visible_to_partner,
        meaning=" ".join((contract.__doc__ or "").split()),
        example=sample,
        schema_path=f"/v1/schemas/{contract.ce_type}",
        examples_path=f"/v1/schemas/{contract.ce_type}/examples",
    )
