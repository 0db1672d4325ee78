"""`crossdock events catalogue` prints what analytics-service knows of each topic."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from crossdock_cli import installation
from crossdock_cli.app import build
from crossdock_cli.commands import events
from crossdock_events import CATALOGUE
from crossdock_events.descriptions import describe
from crossdock_events.examples import EXAMPLES

NONE = {"rate": None, "rates": None, "last": None}
READER = {"service": "a", "kind": "reaction", "group": "a", "projection": None, "handler": "x.y", "types": ["t.v1"]}


class _Somewhere:
    def url(self, service: str) -> str:
        return f"http://{service}"


def topic_views(silent: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return topics of which one is busy, one is silent for 30 days, and the others are unknown."""
    last = {"cursor": "e.1", "time": "2026-03-01T12:00:00.123Z", "type": None, "key": None}
    activities = [
        {"reading": "current", "rate": 2.5, "rates": {}, "last": last},
        {"reading": "current", **NONE, "rate": 0.0},
    ]
    views = [each.model_dump(mode="json") for each in describe(CATALOGUE, EXAMPLES)]
    for number, view in enumerate(views):
        activity = activities[number] if number < len(activities) else {"reading": "unknown", **NONE}
        view |= {"activity": activity, "readers": [READER] if number == 0 else [], "silent": silent}
    return views


@pytest.fixture
def silent() -> list[dict[str, str]]:
    return []


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, silent: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Let an installation answer with these topics."""
    views = topic_views(silent)

    def answer(request: httpx.Request) -> httpx.Response:
        named = {f"/v1/topics/{each['name']}": each for each in views}
        return httpx.Response(200, json=named.get(request.url.path, {"items": views, "silent": silent}))

    @contextmanager
    def client(*_: object) -> Iterator[httpx.Client]:
        with httpx.Client(transport=httpx.MockTransport(answer)) as opened:
            yield opened

    monkeypatch.setattr(events, "client", client)
    monkeypatch.setattr(installation, "current", _Somewhere)
    return views


def printed(*options: str) -> str:
    shown = CliRunner().invoke(build(["events"]), ["events", "catalogue", *options])
    assert shown.exit_code == 0, shown.output
    return shown.output


def test_page_has_each_topic_and_event(there: list[dict[str, Any]]) -> None:
    page = printed()
    for topic in there:
        assert f"## {topic['name']}" in page
        for event in topic["events"]:
            assert f"### {event['type']}" in page and f"<http://analytics-service{event['schema_path']}>" in page
    assert "unknown whether" not in page and page.count("```json") == len(list(CATALOGUE))


def test_zero_none_and_unknown_look_different() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[3:6]] for line in printed().splitlines() if line.startswith("| `")
    ]
    assert rows[:3] == [
        ["a", "2.5", "2026-03-01 12:00:00"],
        ["none", "0", "none in 30 days"],
        ["none", "unknown", "unknown"],
    ]


@pytest.mark.parametrize("silent", [[{"service": "b", "reason": "no connection"}]])
def test_service_without_an_answer_is_named() -> None:
    page = printed()
    assert "it is unknown whether they read a topic: b." in page
    assert "| a, unknown |" in page and "No service that answered reads it." in page


def test_json_has_the_same_topics(there: list[dict[str, Any]]) -> None:
    assert json.loads(printed("--json")) == {"topics": there, "silent": []}
