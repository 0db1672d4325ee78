"""The repository's own derived files, and the command that keeps them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from crossdock_events import CATALOGUE, __main__
from crossdock_events._asyncapi import asyncapi
from crossdock_events._frozen import Plan
from crossdock_events._lint import Violation
from crossdock_events._pages import events_page, topics_page
from crossdock_events.examples import EXAMPLES

SPECIFICATION = Path(__file__).parent / "asyncapi" / "3.0.0.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi(CATALOGUE, EXAMPLES)


def test_everything_is_up_to_date_and_compatible(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["check"]) == 0
    assert capsys.readouterr().out == f"{len(list(CATALOGUE))} events, {len(CATALOGUE.topics())} topics: 0 violations\n"


def test_the_command_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "crossdock_events", "freeze", "--diff"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("command", sorted(__main__.GENERATED))
def test_a_page_is_printed_compared_and_written(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, make = __main__.GENERATED[command]
    copy = tmp_path / "pages" / path.name
    monkeypatch.setattr(__main__, "REPOSITORY", tmp_path)
    monkeypatch.setitem(__main__.GENERATED, command, (copy, make))
    assert __main__.main([command, "--diff"]) == 1
    assert __main__.main([command, "--write"]) == 0
    assert copy.read_text() == make()
    capsys.readouterr()
    assert __main__.main([command, "--diff"]) == 0
    assert capsys.readouterr().out == ""
    assert __main__.main([command]) == 0
    assert capsys.readouterr().out == make()
    copy.write_text("stale")
    assert __main__.main(["check"]) == 1
    said = capsys.readouterr().out
    assert f"pages/{path.name}: is out of date" in said and f"{command} --write" in said


def test_freeze_tells_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "LIBRARY", tmp_path)
    monkeypatch.setattr(__main__, "REPOSITORY", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert __main__.main(["freeze", "--diff"]) == 1
    assert "+++ schemas/crossdock.OrderPlaced.v1.r1.json (now)" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [tmp_path / "pyproject.toml"]
    assert __main__.main(["freeze"]) == 0
    assert "froze schemas/crossdock.OrderPlaced.v1.r1.json" in capsys.readouterr().out


def test_freeze_refuses_with_a_reason(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(__main__, "EXAMPLES", tuple(each for each in EXAMPLES if each.label != "opening"))
    assert __main__.main(["freeze", "--diff"]) == 0  # a frozen example stays, whatever the code forgets
    stale = [Violation("x", "is wrong", "mend it")]
    monkeypatch.setattr(__main__, "plan", lambda *_: Plan({}, stale))
    assert __main__.main(["freeze"]) == 1
    assert capsys.readouterr().err == "x: is wrong\n    -> mend it\n"


def test_an_installed_wheel_has_nothing_to_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "LIBRARY", tmp_path)
    with pytest.raises(SystemExit):
        __main__.main(["check"])
    assert "checkout" in capsys.readouterr().err


def test_asyncapi_is_valid_by_its_own_schema(document: dict[str, Any]) -> None:
    validator = Draft7Validator(json.loads(SPECIFICATION.read_text()))
    assert [f"{list(e.absolute_path)}: {e.message[:200]}" for e in validator.iter_errors(document)] == []
    document = json.loads(json.dumps(document))
    document["channels"]["orders"]["bindings"]["kafka"]["partitions"] = 0
    assert not validator.is_valid(document)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in references(each)]
    return [found for each in value for found in references(each)] if isinstance(value, list) else []


def test_each_reference_of_the_asyncapi_document_leads_somewhere(document: dict[str, Any]) -> None:
    found = references(document)
    assert len(found) > 2 * len(list(CATALOGUE))
    for reference in found:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_each_example_of_the_asyncapi_document_fits_its_message(document: dict[str, Any]) -> None:
    trait = document["components"]["messageTraits"]["cloudEvent"]["headers"]
    headers = Draft202012Validator(trait)
    for message in document["components"]["messages"].values():
        payload = Draft202012Validator(message["payload"])
        assert message["examples"]
        for example in message["examples"]:
            headers.validate(example["headers"])
            payload.validate(example["payload"])
            assert set(example["headers"]) <= set(trait["properties"])


def test_the_asyncapi_document_tells_how_each_topic_is_kept(document: dict[str, Any]) -> None:
    for topic in CATALOGUE.topics():
        channel = next(each for each in document["channels"].values() if each["address"] == topic.name)
        kafka = channel["bindings"]["kafka"]
        assert kafka["partitions"] == topic.partitions
        assert kafka["topicConfiguration"]["retention.ms"] == -1


def test_page_and_asyncapi_tell_who_sees_an_event(document: dict[str, Any]) -> None:
    page = events_page(CATALOGUE, EXAMPLES)
    for contract in CATALOGUE:
        partner = contract.visible_to_partner
        message = document["components"]["messages"][contract.ce_type]
        assert message.get("x-visible-to-partner") == partner
        section = page.split(f"### {contract.ce_type}\n")[1].split("\n### ")[0]
        assert (f"The partner in `{partner}` sees it." in section) == (partner is not None)


def test_the_pages_tell_of_every_topic_event_and_field() -> None:
    topics, events = topics_page(CATALOGUE), events_page(CATALOGUE, EXAMPLES)
    for contract in CATALOGUE:
        assert f"`{contract.topic.name}`" in topics and f"`User:{contract.topic.owner}`" in topics
        assert f"### {contract.ce_type}\n" in events
        section = events.split(f"### {contract.ce_type}\n")[1].split("\n### ")[0]
        assert all(f"`{name}`" in section for name in contract.model_fields)
        assert "```json" in section
    assert "`lines[].item_id`" in events and "code, open: `api`" in events and "decimal string" in events
