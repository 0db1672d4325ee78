"""Fetch schemas and examples as a tool without a token does."""

import json
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator

from analytics_service.service import Settings, build
from crossdock_chassis.testing import Clients, Fresh
from crossdock_events import CATALOGUE, Envelope, Message
from crossdock_events.compatibility import changes

LIBRARY = Path(__file__).parents[4] / "libs" / "events"
PLACED = "/v1/schemas/crossdock.OrderPlaced.v1"


@pytest.fixture
async def client(fresh: Fresh, clients: Clients) -> httpx.AsyncClient:
    """Return a client without a token."""
    client = clients(await fresh(build, Settings), partner="acme", scopes=[])
    del client.headers["authorization"]
    return client


async def test_each_type_has_its_schema_and_valid_examples(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/schemas")).json()["items"]
    assert {each["type"] for each in listed} == {contract.ce_type for contract in CATALOGUE}
    for each in listed:
        schema = await client.get(each["schema_path"])
        assert (schema.status_code, schema.headers["content-type"]) == (200, "application/schema+json")
        frozen = max((LIBRARY / "schemas").glob(f"{each['type']}.r*.json"), key=lambda path: int(path.suffixes[-2][2:]))
        assert not list(changes(json.loads(frozen.read_bytes()), schema.json()))
        examples = (await client.get(each["examples_path"])).json()
        assert examples
        for event in examples.values():
            Draft202012Validator(schema.json()).validate(event["data"])
            headers = {"content-type": b"application/cloudevents+json"}
            message = Message(each["topic"], event["subject"].encode(), json.dumps(event).encode(), headers)
            assert isinstance(CATALOGUE.decode(message), Envelope)


@pytest.mark.parametrize("path", [PLACED, f"{PLACED}/examples"])
async def test_current_copy_is_304(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (await client.get(path, headers={"If-None-Match": '"old"'})).content == first.content


async def test_list_says_which_events_partners_see(client: httpx.AsyncClient) -> None:
    listed = {each["type"]: each["visible_to_partner"] for each in (await client.get("/v1/schemas")).json()["items"]}
    assert listed == {contract.ce_type: contract.visible_to_partner for contract in CATALOGUE}


@pytest.mark.parametrize("name", ["x", "crossdock.OrderPlaced", "crossdock.OrderPlaced.v2", "..", "x" * 128])
async def test_unknown_type_is_404_and_names_the_list(client: httpx.AsyncClient, name: str) -> None:
    for path in (f"/v1/schemas/{name.replace('..', '%2e%2e')}", f"/v1/schemas/{name.replace('..', '%2e%2e')}/examples"):
        answered = await client.get(path)
        assert answered.status_code == 404, answered.text
        assert answered.json()["type"] == "urn:crossdock:problem:no-such-schema"
        assert "/v1/schemas" in answered.json()["title"]
        assert "No event has the type" in answered.json()["detail"]
