"""`crossdock events catalogue`: the topics and events of an installation, as its console shows them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from crossdock_cli import installation
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, moment, print_json
from crossdock_events.descriptions import EventDescription, TopicFacts
from crossdock_events.markdown import table

SERVICE = "analytics-service"

events = typer.Typer(no_args_is_help=True, help="Show the topics and events.")
events.callback()(lambda: None)


@events.command()
def catalogue(as_json: AsJson = False) -> None:
    """Print each topic as Markdown: its owner, readers, rate and last record, and its events with an example."""
    there = installation.current()
    with client(there, None, ["ops:read"]) as opened:
        base = f"{there.url(SERVICE)}/v1/topics"
        listed = asked(opened.get(base))
        topics = [asked(opened.get(f"{base}/{each['name']}")) for each in listed["items"]]
    if as_json:
        print_json({"topics": topics, "silent": listed["silent"]})
    else:
        print("\n".join(_page(there.url(SERVICE), topics, listed["silent"])))


def _page(url: str, topics: list[dict[str, Any]], silent: list[dict[str, str]]) -> Iterator[str]:
    yield from ("# Topics and events", "", f"The state of the installation at {url}. Times are in UTC.", "")
    if silent:
        away = ", ".join(each["service"] for each in silent)
        yield from (f"Without an answer, so it is unknown whether they read a topic: {away}.", "")
    rows = [
        (f"`{each['name']}`", each["owner"], _services(each, bool(silent)), _rate(each["activity"]), _last(each))
        for each in topics
    ]
    yield from table(("topic", "owner", "read by", "records a second", "last record"), rows)
    for topic in topics:
        yield from _topic(url, topic, bool(silent))


def _topic(url: str, topic: Mapping[str, Any], silent: bool) -> Iterator[str]:
    facts = TopicFacts.model_validate(topic)
    yield from ("", f"## {facts.name}", "")
    yield f"Keyed by `{facts.key}`, sent by {facts.owner} only, {facts.partitions} partitions, kept {facts.kept}."
    yield ""
    if topic["readers"]:
        rows = [
            (each["service"], each["kind"], each["handler"] or "every record", _names(each["types"]))
            for each in topic["readers"]
        ]
        yield from table(("read by", "as", "handler", "types"), rows)
    else:
        yield "No service that answered reads it." if silent else "No service reads it."
    found = [EventDescription.model_validate(each) for each in topic["events"]]
    for event in found:
        seen = f" The partner in `{event.visible_to_partner}` sees it." if event.visible_to_partner else ""
        yield from ("", f"### {event.type}", "", f"{event.meaning}{seen}", "")
        yield f"It is {event.stability} and carries a {event.carries}. Schema: <{url}{event.schema_path}>"
        if event.example is not None:
            yield from ("", "```json", json.dumps(event.example, indent=2, ensure_ascii=False), "```")


def _services(topic: Mapping[str, Any], silent: bool) -> str:
    names = sorted({each["service"] for each in topic["readers"]}) + ["unknown"] * silent
    return ", ".join(names) or "none"


def _names(types: list[str]) -> str:
    return ", ".join(f"`{each}`" for each in types)


def _rate(activity: Mapping[str, Any]) -> str:
    return "unknown" if activity["rate"] is None else f"{activity['rate']:g}"


def _last(topic: Mapping[str, Any]) -> str:
    """Return the time of the last record. Only a log that is up to date knows that there is none."""
    activity = topic["activity"]
    if activity["last"] is not None:
        return moment(activity["last"]["time"])
    return "none in 30 days" if activity["reading"] == "current" else "unknown"
