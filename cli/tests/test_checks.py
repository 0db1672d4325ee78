import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossdock_cli.contracts import __main__ as checks

Make = Callable[..., None]


def description(**paths: Any) -> str:
    return json.dumps({"openapi": "3.1.0", "paths": {f"/{name}": {"get": {"responses": {}}} for name in paths}})


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """Return the folder of generated files of a repository with one service and the paths /a and /b."""
    (tmp_path / "shop.openapi.json").write_text(description(a=1, b=1))
    (tmp_path / "services.md").write_text("old")
    return tmp_path


@pytest.fixture
def make(committed: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def made(**files: str) -> None:
        monkeypatch.setattr(checks, "generated", lambda: {committed / names[name]: files[name] for name in files})

    names = {"shop": "shop.openapi.json", "other": "other.openapi.json", "services": "services.md"}
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    return made


def test_nothing_is_written_when_a_break_is_among_it(
    committed: Path, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (committed / "shop.openapi.json").read_text()
    make(services="new", other=description(a=1), shop=description(a=1, c=1))
    assert checks.main(["write"]) == 1
    assert (committed / "shop.openapi.json").read_text() == before
    assert (committed / "services.md").read_text() == "old" and not (committed / "other.openapi.json").exists()
    said = capsys.readouterr().err
    assert "shop.openapi.json: /b: the path was removed" in said and "keep the old shape" in said and "BREAK=1" in said


def test_a_break_that_is_meant_is_written(committed: Path, make: Make) -> None:
    make(shop=description(a=1))
    assert checks.main(["write", "--break"]) == 0
    assert (committed / "shop.openapi.json").read_text() == description(a=1)


def test_additions_and_what_is_new_are_written(committed: Path, make: Make) -> None:
    make(services="new", other=description(a=1), shop=description(a=1, b=1, c=1))
    assert checks.main(["write"]) == 0
    assert (committed / "shop.openapi.json").read_text() == description(a=1, b=1, c=1)
    assert (committed / "other.openapi.json").read_text() == description(a=1)
    assert (committed / "services.md").read_text() == "new"


def test_what_cannot_be_read_is_not_written_over(
    committed: Path, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    (committed / "shop.openapi.json").write_text("<<<<<<< ours")
    make(shop=description(a=1))
    assert checks.main(["write"]) == 1
    assert "shop.openapi.json: the committed file cannot be read" in capsys.readouterr().err


def test_comparing_says_which_difference_is_a_break(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make(services="old", other=description(a=1), shop=description(b=1))
    assert checks.main([]) == 1
    said = capsys.readouterr().out
    assert "BREAK shop.openapi.json: /a: the path was removed" in said and "keep the old shape" in said
    assert "other.openapi.json: breaks no client" in said and "services.md:" not in said


def test_comparing_says_that_an_addition_is_none(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make(services="new", shop=description(a=1, b=1, c=1))
    assert checks.main([]) == 1
    said = capsys.readouterr().out
    assert "shop.openapi.json: breaks no client" in said and "BREAK" not in said


def test_only_a_description_that_differs_is_judged(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make(services="new", shop=description(a=1, b=1))
    assert checks.main([]) == 1
    assert "shop" not in capsys.readouterr().out


def test_what_is_as_committed_is_not_spoken_of(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make(services="old", shop=description(a=1, b=1))
    assert checks.main([]) == 0
    assert capsys.readouterr().out == ""
