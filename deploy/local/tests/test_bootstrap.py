"""The installer, as it runs on a new machine: with this interpreter, on a tiny clone without a network."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BOOTSTRAP = Path(__file__).parents[1] / "bootstrap.py"
ROOT = BOOTSTRAP.parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    target = tmp_path / "deploy" / "local"
    target.mkdir(parents=True)
    shutil.copy(BOOTSTRAP, target)
    for name in ("requirements.lock", "requirements-uv.lock", "requirements.in"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def bootstrap(clone: Path, command: str = "install") -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "CROSSDOCK_"))
    }
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [sys.executable, str(clone / "deploy" / "local" / "bootstrap.py"), command],
        env=environment | offline,
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(clone: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", clone / "deploy" / "local" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_install_without_a_network_fails_and_leaves_no_venv(clone: Path) -> None:
    done = bootstrap(clone)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("The package installer is out of reach: is there a network?")
    assert not (clone / ".venv").exists()


def test_an_old_python_is_refused_in_a_sentence(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded(clone)
    monkeypatch.setattr(module.sys, "version_info", (3, 9, 18))
    monkeypatch.chdir(clone)
    with pytest.raises(module.InstallError, match=r"^Python 3\.11 or newer is needed and this is 3\.9: "):
        module.main("install")


def test_a_missing_venv_module_is_refused_in_a_sentence(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian and Ubuntu ship Python without this module."""
    module = loaded(clone)
    monkeypatch.chdir(clone)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(module.InstallError, match=r"install python3\.\d+-venv and run the same command again"):
        module.install()
    assert not (clone / ".venv").exists()


def test_a_clearly_faster_python_of_the_same_version_is_used(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded(clone)
    version = module._dotted(sys.version_info)
    seconds = {"slow": "1.0", "fast": "0.8", "no-venv": "", "other": "0.1"}
    for folder, time in seconds.items():
        file = clone / folder / f"python{version if folder != 'other' else '3.99'}"
        file.parent.mkdir()
        file.write_text(f"#!/bin/sh\n{f'echo {time} {file}' if time else 'exit 1'}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", ":".join(str(clone / folder) for folder in seconds))
    here = clone / "slow" / f"python{version}"
    monkeypatch.setattr(module.sys, "executable", str(here))
    assert module._fastest() == str(clone / "fast" / f"python{version}")
    (clone / "fast" / f"python{version}").write_text("#!/bin/sh\necho 0.95 fast\n")
    assert module._fastest() == str(here)


def test_speed_of_a_python_is_measured(clone: Path) -> None:
    module = loaded(clone)
    seconds, python = module._timed(sys.executable)
    assert seconds > 0
    assert python == sys.executable
    assert module._timed(str(clone / "none")) is None


def test_a_full_disk_is_refused_in_a_sentence(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded(clone)
    monkeypatch.chdir(clone)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(module.InstallError, match=r"^The Python packages need \d+ MB"):
        module.install()


def test_install_runs_again_only_when_the_lock_changed(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded(clone)
    monkeypatch.chdir(clone)
    filled: list[bool] = []

    def make() -> None:
        Path(module.PYTHON).parent.mkdir(parents=True)
        Path(module.PYTHON).touch()

    monkeypatch.setattr(module, "_make", make)
    monkeypatch.setattr(module, "_fill", lambda: filled.append(Path(module.STAMP).exists()))
    module.install()
    module.install()
    assert filled == [False]
    (clone / "requirements.lock").write_text("other\n")
    module.install()
    assert filled == [False, False]


def test_a_failed_update_keeps_the_environment_but_not_its_stamp(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded(clone)
    monkeypatch.chdir(clone)
    Path(module.PYTHON).parent.mkdir(parents=True)
    Path(module.PYTHON).touch()
    Path(module.STAMP).write_text("old")

    def fail() -> None:
        raise module.InstallError("no network")

    monkeypatch.setattr(module, "_fill", fail)
    with pytest.raises(module.InstallError):
        module.install()
    assert Path(module.PYTHON).exists()
    assert not Path(module.STAMP).exists()


def test_a_lock_older_than_the_requirements_is_noticed(clone: Path) -> None:
    wanted = clone / "requirements.in"
    wanted.write_text(wanted.read_text() + "requests\n")
    done = bootstrap(clone, "check-lock")
    assert done.returncode == 1
    assert "requirements.lock is older than what the packages ask for" in done.stderr


def test_every_locked_package_has_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-uv.lock"):
        text = (ROOT / name).read_text()
        pinned = [line for line in text.splitlines() if "==" in line]
        assert pinned
        assert all(line.endswith("\\") for line in pinned)
        assert "://" not in text
