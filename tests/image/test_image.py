"""The image that CROSSDOCK_IMAGE names, on the Docker engine of this machine: `make test-image` builds it first."""

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossdock_cli.discovery import installed

IMAGE = os.environ.get("CROSSDOCK_IMAGE", "crossdock")
LOCKED_DOWN = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
SECRET = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{64}|_authToken=")


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=False)


def run(*words: str, settings: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the image with `words` behind its entry point: read-only, without capabilities, without a network."""
    return docker("run", "--rm", "--network", "none", *LOCKED_DOWN, *settings, IMAGE, *words)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tarfile.TarInfo]]:
    """Yield all files of the image as its containers see them."""
    archive = tmp_path_factory.mktemp("image") / "files.tar"
    container = docker("create", IMAGE).stdout.strip()
    try:
        assert docker("export", "-o", str(archive), container).returncode == 0
        with tarfile.open(archive) as opened:
            yield opened.getmembers()
    finally:
        docker("rm", container)
        archive.unlink()


def test_no_file_gives_its_user_other_rights(files: list[tarfile.TarInfo]) -> None:
    assert [each.name for each in files if each.isfile() and each.mode & 0o6000] == []


def test_only_folders_for_passing_files_are_open_to_all(files: list[tarfile.TarInfo]) -> None:
    open_to_all = [each for each in files if not each.issym() and not each.isdev() and each.mode & 0o002]
    assert [each.name for each in open_to_all if not each.mode & 0o1000] == []


def test_the_image_has_no_tools_and_no_secrets(files: list[tarfile.TarInfo]) -> None:
    own = [each for each in files if each.name.startswith("opt/crossdock/")]
    assert own
    names = {Path(each.name).name for each in own}
    assert names.isdisjoint({"pip", "uv", "pytest", "mypy", "ruff", "requirements.lock", ".npmrc"})


def test_no_layer_holds_a_private_key_or_an_npm_token(tmp_path: Path) -> None:
    saved = tmp_path / "image.tar"
    assert docker("save", "-o", str(saved), IMAGE).returncode == 0
    found: list[str] = []
    with tarfile.open(saved) as image:
        layers = json.load(image.extractfile("manifest.json"))[0]["Layers"]  # type: ignore[arg-type]
        for name in layers:
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                for each in layer:
                    small = each.isfile() and each.size < 65_536
                    content = layer.extractfile(each) if small and not each.name.endswith((".py", ".pyc")) else None
                    if content is not None and SECRET.search(content.read()):
                        found.append(each.name)
    assert found == []


def test_it_runs_as_a_numbered_user() -> None:
    configured = json.loads(docker("image", "inspect", IMAGE).stdout)[0]["Config"]
    assert configured["User"] == "10001:10001"
    assert configured["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert not [each for each in configured["Env"] if "PASSWORD" in each or "SECRET" in each]


@pytest.mark.parametrize("service", [each.package for each in installed()])
def test_each_service_states_what_is_not_set(service: str) -> None:
    done = run(service, "api")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"CROSSDOCK_{name} is not set." for name in ("KAFKA", "POSTGRES", "ISSUER")]


@pytest.mark.parametrize("temporary", [(), ("--tmpfs", "/tmp:size=16k")])
def test_it_states_that_no_temporary_file_can_be_written(temporary: tuple[str, ...]) -> None:
    settings = {"KAFKA": "127.0.0.1:1", "POSTGRES": "postgresql://x@127.0.0.1:1/x", "ISSUER": "http://127.0.0.1:1"}
    given = [word for name, value in settings.items() for word in ("-e", f"CROSSDOCK_{name}={value}")]
    done = docker("run", "--rm", "--network", "none", "--read-only", *temporary, *given, IMAGE, "order_service", "api")
    assert done.returncode == 1
    assert "no temporary file can be written: " in done.stdout and "let TMPDIR name a writable folder" in done.stdout


def test_its_bill_of_materials_lists_every_package() -> None:
    code = (
        "import json, importlib.metadata as m\n"
        "listed = {(c['name'].lower(), c['version']) for c in "
        "json.load(open('/opt/crossdock/sbom.cdx.json'))['components']}\n"
        "print(json.dumps(sorted({(d.name.lower(), d.version) for d in m.distributions()} - listed)))"
    )
    done = docker("run", "--rm", "--network", "none", *LOCKED_DOWN, "--entrypoint", "python", IMAGE, "-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
