"""Run the bench of crm-service with a few rows, so that it does not break unnoticed between its rare full runs."""

import json
import sys
from pathlib import Path

import pytest
from bench.__main__ import main


def test_every_row_of_the_bench_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "crm.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--tiny", "--json", str(file), "crm"])
    main()
    rows = {row["name"]: row["value"] for row in json.loads(file.read_text())["rows"]}
    assert len(rows) == 12 and all(value > 0 for value in rows.values())
