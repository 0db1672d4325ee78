"""The generated Markdown pages: topics and their writers, events and their fields."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from crossdock_events._asyncapi import topic_configuration
from crossdock_events._catalogue import Catalogue
from crossdock_events._event import Event
from crossdock_events._schema import consumer_schema, self_contained
from crossdock_events.descriptions import EventDescription, TopicDescription, describe
from crossdock_events.examples import Example
from crossdock_events.markdown import table

_DECIMAL = r"^-?[0-9]{1,18}(\.[0-9]{1,6})?$"
_GENERATED = "<!-- Generated from the contracts: change crossdock_events, then run `python -m crossdock_events {}`. -->"


def topics_page(catalogue: Catalogue) -> str:
    topics = describe(catalogue, ())
    owners = sorted({topic.owner for topic in topics})
    settings = {topic.name: topic_configuration(topic)["retention.ms"] for topic in catalogue.topics()}
    rows = [
        (
            f"`{topic.name}`",
            f"`{topic.key}`",
            topic.owner,
            str(topic.partitions),
            topic.kept,
            f"`retention.ms={settings[topic.name]}`",
        )
        for topic in topics
    ]
    grants = [
        (f"`User:{owner}`", ", ".join(f"`{topic.name}`" for topic in topics if topic.owner == owner), "Write, Describe")
        for owner in owners
    ]
    return "\n".join(
        [
            "# Topics",
            "",
            _GENERATED.format("topics --write"),
            "",
            "All topics use `cleanup.policy=delete`. The partition is murmur2 of the key, as in Java's clients. Adding",
            "partitions moves keys to other partitions: stop the relays and consumer groups first.",
            "",
            *table(("topic", "key", "owner", "partitions", "kept", "setting"), rows),
            "",
            "## Who may write",
            "",
            "Only the owner writes a topic, as the principal of the same name. The reaction tables of the services",
            "define the readers. A reader also writes its own `<topic>.<group>.dlq`. The deployment makes the topics.",
            "",
            *table(("principal", "topics", "operations"), grants),
            "",
        ]
    )


def events_page(catalogue: Catalogue, examples: Iterable[Example]) -> str:
    samples = list(examples)
    lines = [
        "# Events",
        "",
        _GENERATED.format("docs --write"),
        "",
        "A `stable` event changes in compatible ways only; a `draft` may still change its shape. **State**: the latest",
        "event of a key replaces the earlier ones. **Change**: each event adds to the earlier ones. A field that is",
        "not required may be absent; null is never sent. An open list of values may grow: expect other values.",
        "",
        "Topics carry the events of all partners. **Partner sees it**: this field names the one partner that sees the",
        "event, in the feed and in webhooks. If the column is empty, no partner sees the event.",
        "",
    ]
    contracts = {contract.ce_type: contract for contract in catalogue}
    for topic in describe(catalogue, samples):
        lines += [f"## {topic.name.split('.')[1]}: `{topic.name}`", "", *_topic(topic), ""]
        rows = [
            (f"[{each.name}](#{each.type.lower().replace('.', '')})", *_columns(each), each.summary)
            for each in topic.events
        ]
        lines += [*table(("event", "version", "stability", "carries", "partner sees it", "meaning"), rows), ""]
        for each in topic.events:
            lines += _event(contracts[each.type], each)
    return "\n".join(lines)


def _topic(topic: TopicDescription) -> Iterator[str]:
    yield (f"Keyed by `{topic.key}`, sent by {topic.owner} only, {topic.partitions} partitions, kept {topic.kept}.")


def _columns(event: EventDescription) -> tuple[str, str, str, str]:
    seen = "" if event.visible_to_partner is None else f"in `{event.visible_to_partner}`"
    return event.version, event.stability, event.carries, seen


def _event(contract: type[Event], event: EventDescription) -> Iterator[str]:
    yield from (f"### {event.type}", "", event.meaning, "")
    if event.visible_to_partner is not None:
        yield from (f"The partner in `{event.visible_to_partner}` sees it.", "")
    yield from table(("field", "type", "required"), list(_fields(self_contained(consumer_schema(contract)), "")))
    yield ""
    if event.example is not None:
        yield from ("```json", json.dumps(event.example, indent=2, ensure_ascii=False), "```", "")


def _fields(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        yield f"`{prefix}{name}`", _type(field), "yes" if name in required else ""
        inner = field.get("items", field)
        yield from _fields(inner, f"{prefix}{name}{'[]' if 'items' in field else ''}.")


def _type(schema: dict[str, Any]) -> str:
    if "items" in schema:
        least = schema.get("minItems", 0)
        return f"list of {_type(schema['items'])}" + (f", at least {least}" if least else "")
    if "properties" in schema:
        return "object. " + " ".join(schema.get("description", "").split()) if "description" in schema else "object"
    if "x-open-enum" in schema:
        return "code, open: " + ", ".join(f"`{value}`" for value in schema["x-open-enum"])
    if "enum" in schema:
        return "closed: " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("pattern") == _DECIMAL:
        return "decimal string"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    return _scalar(schema)


def _scalar(schema: dict[str, Any]) -> str:
    words = [schema.get("format", schema.get("type", "anything"))]
    if "minLength" in schema or "maxLength" in schema:
        words.append(f"{schema.get('minLength', 0)}..{schema.get('maxLength', '')}")
    if "pattern" in schema:
        words.append(f"`{schema['pattern']}`")
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    words += [f"{sign} {schema[keyword]}" for keyword, sign in signs.items() if keyword in schema]
    return " ".join(words)
