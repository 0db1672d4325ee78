from collections.abc import Iterable
from typing import Any

from crossdock_events._catalogue import Catalogue
from crossdock_events._event import Event, Topic
from crossdock_events._schema import consumer_schema, self_contained
from crossdock_events.examples import Example

_BINDING = "0.5.0"

_UUID = {"type": "string", "format": "uuid"}
_HEADERS: dict[str, dict[str, Any]] = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": {**_UUID, "description": "The same if the event is sent again. Drop the ids that you have seen."},
    "ce_source": {"type": "string", "description": "The service that owns the topic."},
    "ce_type": {"type": "string", "description": "Name and major version of the contract."},
    "ce_time": {"type": "string", "format": "date-time", "description": "When the event happened."},
    "ce_subject": {"type": "string", "description": "The record's key."},
    "ce_dataschema": {
        "type": "string",
        "format": "uri",
        "description": "The address of the schema, or its name if the installation has no public address for schemas.",
    },
    "ce_sequence": {
        "type": "string",
        "pattern": "^[0-9]{20}$",
        "description": "Counts the events of this key on this topic from 1, without a gap.",
    },
    "ce_correlationid": {**_UUID, "description": "The same for all events that follow from one request."},
    "ce_causationid": {**_UUID, "description": "The ce_id of the event that caused this event."},
    "traceparent": {"type": "string", "description": "W3C trace context."},
    "content-type": {"type": "string", "const": "application/json"},
}
_SOMETIMES = frozenset({"ce_causationid", "traceparent"})


def asyncapi(catalogue: Catalogue, examples: Iterable[Example]) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of all events that Crossdock publishes."""
    samples = list(examples)
    topics = sorted(catalogue.topics(), key=lambda topic: topic.name)
    by_topic = {topic: [contract for contract in catalogue if contract.topic == topic] for topic in topics}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Crossdock events",
            "version": "1",
            "description": (
                "Facts about orders, reservations, stock and items as CloudEvents 1.0 (Kafka binding, binary mode). "
                "Delivery is at least once and ordered per key. Ignore properties and types that you do not know; an "
                "`x-open-enum` lists the values known so far. Topics carry the events of all partners. A partner's "
                "own feed has only messages with `x-visible-to-partner`, the field with the partner that sees them."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel_name(topic): _channel(topic, by_topic[topic]) for topic in topics},
        "operations": {f"publish-{channel_name(topic)}": _operation(topic, by_topic[topic]) for topic in topics},
        "components": {
            "messages": {contract.ce_type: _message(contract, samples) for contract in catalogue},
            "messageTraits": {
                "cloudEvent": {
                    "headers": {
                        "type": "object",
                        "properties": _HEADERS,
                        "required": [name for name in _HEADERS if name not in _SOMETIMES],
                    },
                    "correlationId": {"location": "$message.header#/ce_correlationid"},
                }
            },
        },
    }


def channel_name(topic: Topic) -> str:
    """Return `orders` for `crossdock.orders.v1`."""
    return topic.name.split(".")[1]


def topic_configuration(topic: Topic) -> dict[str, Any]:
    """Return the topic's settings as AsyncAPI's Kafka binding types them."""
    config = topic.spec.config
    return {"cleanup.policy": [config["cleanup.policy"]], "retention.ms": int(config["retention.ms"])}


def _channel(topic: Topic, contracts: list[type[Event]]) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"Published by {topic.owner} alone, keyed by {topic.key}.",
        "messages": {contract.ce_type: {"$ref": f"#/components/messages/{contract.ce_type}"} for contract in contracts},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": topic_configuration(topic),
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(topic: Topic, contracts: list[type[Event]]) -> dict[str, Any]:
    channel = f"#/channels/{channel_name(topic)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "tags": [{"name": topic.owner}],
        "messages": [{"$ref": f"{channel}/messages/{contract.ce_type}"} for contract in contracts],
    }


def _message(contract: type[Event], examples: list[Example]) -> dict[str, Any]:
    payload = self_contained(consumer_schema(contract))
    key = payload["properties"][contract.topic.key]
    description = payload.pop("description")
    return {
        "name": contract.ce_type,
        "title": contract.ce_type,
        "summary": description.splitlines()[0],
        "description": description,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": payload,
        **({"x-visible-to-partner": partner} if (partner := contract.visible_to_partner) else {}),
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
        "examples": [_example(each) for each in examples if each.envelope.event.ce_type == contract.ce_type],
    }


def _example(example: Example) -> dict[str, Any]:
    headers = example.envelope.encode().headers
    return {
        "name": example.label,
        "headers": {name: value.decode() for name, value in headers.items()},
        "payload": example.envelope.event.model_dump(mode="json", exclude_none=True),
    }
