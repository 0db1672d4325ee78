"""`crossdock import` sends the type of the file and the names of its columns, and shows suspected duplicates."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from crossdock_cli import installation
from crossdock_cli.app import build
from crossdock_cli.commands import import_

DONE = {"id": "7", "kind": "customers", "state": "done", "rows": 3, "created": 2, "changed": 1, "unchanged": 0}


class _Somewhere:
    def url(self, service: str) -> str:
        return f"http://{service}"


def test_workbook_of_customers_is_sent_with_its_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        return httpx.Response(200, json={**DONE, "wrong": 0, "suspected": 2, "errors": [], "dry_run": False})

    @contextmanager
    def client(*_: object) -> Iterator[httpx.Client]:
        with httpx.Client(transport=httpx.MockTransport(answer)) as opened:
            yield opened

    monkeypatch.setattr(import_, "client", client)
    monkeypatch.setattr(installation, "current", _Somewhere)
    file = tmp_path / "people.XLSX"
    file.write_bytes(b"PK")
    arguments = ["import", "customers", str(file), "--column", "external_id=Kundennr.", "--column", "skip=Notes"]
    shown = CliRunner().invoke(build(["import"]), arguments)
    assert shown.exit_code == 0, shown.output
    (request,) = sent
    assert (request.url.host, request.url.path, request.content) == ("crm-service", "/v1/customers:import", b"PK")
    assert request.headers["content-type"].endswith("spreadsheetml.sheet")
    assert request.url.params.get_list("columns") == ["external_id=Kundennr.", "skip=Notes"]
    assert "2 rows may be customers that are known" in shown.output.replace("\n", " ")
