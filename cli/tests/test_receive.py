"""`crossdock receive` with identifiers as real catalogues have them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from crossdock_cli import installation
from crossdock_cli.app import build
from crossdock_cli.commands import receive


class _Somewhere:
    def url(self, service: str) -> str:
        return f"http://{service}"


@pytest.mark.parametrize("item", ["a/b", "PO 4711", "#1001", "a|b", "a&b", "商品", "%2F", "..", "[red]1[/red]"])
def test_receipt_is_posted_and_shown_with_the_item_as_typed(item: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"items": []})
        sent.append(json.loads(request.content))
        return httpx.Response(201, json={})

    @contextmanager
    def client(*_: object) -> Iterator[httpx.Client]:
        with httpx.Client(transport=httpx.MockTransport(answer)) as opened:
            yield opened

    monkeypatch.setattr(receive, "client", client)
    monkeypatch.setattr(installation, "current", _Somewhere)
    shown = CliRunner().invoke(build(["receive"]), ["receive", item, "3", "--location", "dc [1]/north"])
    assert shown.exit_code == 0, shown.output
    assert (sent[0]["location_id"], sent[0]["lines"]) == ("dc [1]/north", [{"item_id": item, "quantity": 3}])
    assert f"3 of {item} received at dc [1]/north." in shown.output
