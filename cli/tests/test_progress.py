"""How a command is shown, so that the user can type it."""

import sys
from pathlib import Path

import pytest

from crossdock_cli.progress import runnable


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a virtual environment that runs this process. Its programs are not on the path."""
    programs = tmp_path / "clone" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "crossdock"):
        (programs / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path / "clone"


def test_command_has_its_path_in_the_clone_and_elsewhere(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    assert runnable("crossdock tail orders") == ".venv/bin/crossdock tail orders"
    monkeypatch.chdir("/usr")
    assert runnable("crossdock status") == f"{clone}/.venv/bin/crossdock status"


def test_command_of_another_installation_is_not_shown(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "crossdock").touch(mode=0o755)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("PATH", str(other))
    assert runnable("crossdock order") == ".venv/bin/crossdock order"
    monkeypatch.setenv("PATH", str(clone / ".venv" / "bin"))
    assert runnable("crossdock order") == "crossdock order"


def test_other_programs_are_shown_as_they_are(clone: Path) -> None:
    assert runnable("make down") == "make down"
