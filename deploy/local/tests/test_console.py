"""Tests of the console's build: with the real npm, Vite and packages."""

import gzip
import json
import re
import shutil
import subprocess
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
