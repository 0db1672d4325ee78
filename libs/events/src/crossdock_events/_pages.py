"""The generated Markdown pages: topics and their writers, events and their fields."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from crossdock_events._asyncapi import channel_name, topic_configuration
from crossdock_events._catalogue import Catalogue
from crossdock_events._event import Event, Topic, name_of
from crossdock_events._schema import consumer_schema, self_contained
from crossdock_events.examples import Example

_DECIMAL = r"^-?[0-9]{1,18}(\.[0-9]{1,6})?$"
_GENERATED = "<!-- Generated from the contracts: change crossdock_events, then run `python -m crossdock_events {}`. -->"


def topics_page(catalogue: Catalogue) -> str:
    topics = sorted(catalogue.topics(), key=lambda topic: topic.name)
    owners = sorted({topic.owner for topic in topics})
    rows = [
        (
            f"`{topic.name}`",
            f"`{topic.key}`",
            topic.owner,
            str(topic.partitions),
            "for ever" if topic.retention_days is None else f"{topic.retention_days} days",
            f"`retention.ms={topic_configuration(topic)['retention.ms']}`",
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
            *_table(("topic", "key", "owner", "partitions", "kept", "setting"), rows),
            "",
            "## Who may write",
            "",
            "Only the owner writes a topic, as the principal of the same name. The reaction tables of the services",
            "define the readers. A reader also writes its own `<topic>.<group>.dlq`. The deployment makes the topics.",
            "",
            *_table(("principal", "topics", "operations"), grants),
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
    for topic in sorted(catalogue.topics(), key=lambda each: each.name):
        contracts = [contract for contract in catalogue if contract.topic == topic]
        lines += [f"## {channel_name(topic)}: `{topic.name}`", "", *_topic(topic), ""]
        rows = [
            (
                f"[{name_of(contract.ce_type).rpartition('.')[2]}](#{_anchor(contract)})",
                contract.ce_type.rpartition(".")[2],
                contract.stability,
                contract.carries,
                "" if contract.visible_to_partner is None else f"in `{contract.visible_to_partner}`",
                _prose(contract).partition(". ")[0].rstrip(".") + ".",
            )
            for contract in contracts
        ]
        lines += [*_table(("event", "version", "stability", "carries", "partner sees it", "meaning"), rows), ""]
        for contract in contracts:
            lines += _event(contract, samples)
    return "\n".join(lines)


def _topic(topic: Topic) -> Iterator[str]:
    kept = "kept for ever" if topic.retention_days is None else f"kept {topic.retention_days} days"
    yield f"Keyed by `{topic.key}`, sent by {topic.owner} only, {topic.partitions} partitions, {kept}."


def _event(contract: type[Event], samples: list[Example]) -> Iterator[str]:
    schema = self_contained(consumer_schema(contract))
    yield from (f"### {contract.ce_type}", "", _prose(contract), "")
    if contract.visible_to_partner is not None:
        yield from (f"The partner in `{contract.visible_to_partner}` sees it.", "")
    yield from _table(("field", "type", "required"), list(_fields(schema, "")))
    yield ""
    sample = next((each for each in samples if each.envelope.event.ce_type == contract.ce_type), None)
    if sample is not None:
        data = sample.envelope.event.model_dump(mode="json", exclude_none=True)
        yield from ("```json", json.dumps(data, indent=2, ensure_ascii=False), "```", "")


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


def _prose(contract: type[Event]) -> str:
    return " ".join((contract.__doc__ or "").split())


def _anchor(contract: type[Event]) -> str:
    return contract.ce_type.lower().replace(".", "")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
