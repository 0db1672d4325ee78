"""`crossdock customers undo-import` asks the service, follows the undoing to its end, and shows who stays and why."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from crossdock_cli import installation
from crossdock_cli.app import build
from crossdock_cli.commands import customers
from crossdock_cli.errors import CommandError


class _Somewhere:
    def url(self, service: str) -> str:
        return f"http://{service}"


def view(state: str, undone: int, to_do: int, **left: int) -> dict[str, Any]:
    return {"import_id": "7", "state": state, "undone": undone, "to_do": to_do, "left": left, "customers": []}


def undo(monkeypatch: pytest.MonkeyPatch, *views: dict[str, Any]) -> tuple[Result, list[str], list[tuple[int, int]]]:
    """Run the command on a service with these answers. Return its result, the requests, and what the bar has shown."""
    answers, sent, shown = iter(views), list[str](), list[tuple[int, int]]()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(f"{request.method} {request.url}")
        return httpx.Response(202, json=next(answers))

    @contextmanager
    def client(*_: object) -> Iterator[httpx.Client]:
        with httpx.Client(transport=httpx.MockTransport(answer)) as opened:
            yield opened

    @contextmanager
    def bar(_: str) -> Iterator[Any]:
        yield lambda what, done, total: shown.append((done, total))

    monkeypatch.setattr(customers, "client", client)
    monkeypatch.setattr(customers, "bar", bar)
    monkeypatch.setattr(customers, "POLL_SECONDS", 0)
    monkeypatch.setattr(installation, "current", _Somewhere)
    command = ["customers", "undo-import", "7", "--yes"]
    return CliRunner().invoke(build(["customers"]), command), sent, shown


def test_undoing_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    running = view("running", 100, 300, changed=1)
    result, sent, shown = undo(monkeypatch, view("queued", 0, 401), running, view("done", 399, 0, changed=1, in_use=1))
    assert result.exit_code == 0, result.output
    base = "http://crm-service/v1/imports/7"
    assert sent == [f"POST {base}:undo", f"GET {base}/undo", f"GET {base}/undo"]
    assert shown == [(0, 401), (101, 401)]
    assert "399 customers were removed" in result.output and "1 stay as they are: in use" in result.output


def test_undoing_that_stopped_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    result, *_ = undo(monkeypatch, view("stopped", 100, 301))
    assert isinstance(result.exception, CommandError) and "lets it go on" in str(result.exception)
    assert "100 customers" in result.output and json.dumps("stopped") not in result.output
