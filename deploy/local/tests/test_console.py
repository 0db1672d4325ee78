"""Tests of the console's build: with the real npm, Vite and packages."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from crossdock_cli.clone import checkout
from crossdock_cli.errors import CommandError
from crossdock_local import console
from crossdock_local.layout import Home

FIRST_LOAD = 220_000
"""Bytes that the first page may take over the network, compressed."""


@pytest.fixture(scope="module")
def built() -> Path:
    return console.build()


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _copy(to: Path) -> Path:
    """Copy the files that the build reads into `to`, as in a clone in another folder. Return the console's copy."""
    skipped = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(checkout() / "console", to / "console", ignore=skipped)
    shutil.copytree(checkout() / "docs" / "generated", to / "docs" / "generated")
    return to / "console"


def _wheel(monkeypatch: pytest.MonkeyPatch) -> console.Node:
    """Return the Node of the Python package."""
    with monkeypatch.context() as patch:
        patch.setattr(console, "node_version", lambda executable: (18, 0))
        return console.node()


def test_another_folder_and_node_give_the_same_bytes(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = _copy(tmp_path / "another clone")
    (copy / "node_modules").symlink_to(checkout() / "console" / "node_modules")
    node = _wheel(monkeypatch)
    subprocess.run(
        [*node.npm, "run", "--silent", "build"], cwd=copy, env=node.environment(), check=True, capture_output=True
    )

    assert _contents(copy / "dist") == _contents(built)


def test_build_that_another_clone_finished_first_is_used(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clones share a folder of downloads. Each has a lock of its own, so both may build the same console."""
    target = tmp_path / built.name

    def build_too(*words: str, **more: object) -> None:
        shutil.copytree(built, target)

    monkeypatch.setattr(console, "_install", lambda report: None)
    monkeypatch.setattr(console, "_npm", build_too)
    assert console.build(tmp_path) == target
    assert _contents(target) == _contents(built)
    assert list(tmp_path.iterdir()) == [target]


def test_the_first_load_is_at_most_220_kb_compressed(built: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    files, waiting = {"index.html"}, ["index.html"]
    while waiting:
        chunk = manifest[waiting.pop()]
        files |= {chunk["file"], *chunk.get("css", [])} - {"index.html"}
        waiting += [each for each in chunk.get("imports", []) if manifest[each]["file"] not in files]

    size = sum(len(gzip.compress((built / file).read_bytes(), mtime=0)) for file in files)
    assert 40_000 < size <= FIRST_LOAD


def test_the_page_has_no_inline_script_or_style(built: Path) -> None:
    page = (built / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert "<style" not in page and " style=" not in page and "data:" not in page


def test_a_message_missing_in_one_language_fails_the_build(tmp_path: Path) -> None:
    copy = _copy(tmp_path)
    (copy / "node_modules").symlink_to(checkout() / "console" / "node_modules")
    chinese = copy / "src" / "messages" / "zh.ts"
    chinese.write_text(chinese.read_text().replace('    loading: "正在加载…",\n', ""))
    node = console.node()

    done = subprocess.run(
        [*node.npm, "run", "--silent", "types"], cwd=copy, env=node.environment(), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Property 'loading' is missing" in done.stdout


def test_no_npm_packages_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = _copy(tmp_path / "clone")
    monkeypatch.setattr(console, "checkout", lambda: copy.parent)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "empty cache"))

    with pytest.raises(CommandError, match="The npm packages of the console could not be downloaded"):
        console.build(tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_the_lock_has_a_hash_for_each_package_and_no_address() -> None:
    packages = json.loads((checkout() / "console" / "package-lock.json").read_text())["packages"]
    del packages[""]

    assert len(packages) > 50
    assert [name for name, each in packages.items() if not each.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, each in packages.items() if "resolved" in each] == []


def test_a_new_build_replaces_the_one_that_a_stack_serves(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
        console.publish(home, tmp_path / name)
        assert (home.console / "index.html").read_text() == name


def test_only_versions_that_vite_supports_are_new_enough() -> None:
    assert [console.new_enough(each) for each in ((18, 20), (20, 18), (21, 7), (22, 11))] == [False] * 4
    assert [console.new_enough(each) for each in ((20, 19), (20, 20), (22, 12), (24, 0))] == [True] * 4


def test_the_wheel_has_the_console_if_it_is_built_with_it(built: Path, tmp_path: Path) -> None:
    names = {name: _in_wheel(tmp_path / name, folder) for name, folder in (("with", str(built)), ("without", ""))}
    files = {f"analytics_service/console/{name}" for name in _contents(built)}
    assert names["with"] - names["without"] == files and files


def test_a_wheel_without_the_console_that_it_names_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _in_wheel(tmp_path, str(tmp_path))
    assert b"build the console first" in failed.value.stderr


def _in_wheel(into: Path, folder: str) -> set[str]:
    """Build the wheel of analytics-service with the console in a folder, and return the names in it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    environment = {**os.environ, "CROSSDOCK_CONSOLE_BUILD": folder}
    service = checkout() / "services" / "analytics-service"
    subprocess.run(command, cwd=service, env=environment, check=True, capture_output=True)
    (wheel,) = into.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if "__pycache__" not in name and ".dist-info/" not in name}
