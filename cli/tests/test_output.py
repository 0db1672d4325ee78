"""Output that people copy from: nothing in it is cut or wrapped, however narrow the terminal is."""

import json
from typing import Any

import pytest
from rich.table import Table

from crossdock_cli.output import console, print_page, print_table

ADDRESS = "http://127.0.0.1:18410/" + "a" * 120
PATH = "/a folder with blanks/" + "/".join(["deep"] * 30)
PAGE = {"items": [{"id": "[red]1"}], "next": "abc"}


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def shown(page: dict[str, Any], *, as_json: bool = False) -> None:
    print_page(page, {"id": lambda row: row["id"]}, as_json=as_json, none="There are none.", more="things --limit 1")


def test_address_in_a_table_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("process", "address")
    table.add_row("order-service.api", ADDRESS)
    print_table(console(), table)
    assert ADDRESS in capsys.readouterr().out


def test_long_line_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(f"all data is in {PATH}")
    assert capsys.readouterr().out == f"all data is in {PATH}\n"


def test_page_ends_with_the_command_for_the_next_page(capsys: pytest.CaptureFixture[str]) -> None:
    shown(PAGE)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip() == "[red]1"
    assert lines[-1].endswith("crossdock things --limit 1 --cursor abc")


def test_empty_list_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    shown({"items": [], "next": None})
    assert capsys.readouterr().out == "There are none.\n"


def test_empty_page_in_the_middle_leads_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    """A list with a filter may have empty pages before its end."""
    shown({"items": [], "next": "abc"})
    assert capsys.readouterr().out.endswith("--cursor abc\n")


def test_json_is_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    shown(PAGE, as_json=True)
    assert json.loads(capsys.readouterr().out) == PAGE
