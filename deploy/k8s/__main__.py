"""Compare the manifests with the installed services, or write them: `python -m deploy.k8s [write]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.k8s.files import FOLDER, HEADER, generated

from crossdock_cli.contracts.__main__ import differences


def main(words: Sequence[str]) -> int:
    made = generated()
    gone = [file for file in written() if file not in made]
    if list(words) == ["write"]:
        for file in gone:
            file.unlink()
        for file, text in made.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return 0
    found = [*differences(made), *(f"{file} belongs to no installed service" for file in gone)]
    if found:
        print(*found[:60], "The manifests differ from the code: run `make generate` and review them.", sep="\n")
    return 1 if found else 0


def written() -> list[Path]:
    """Return the generated files in the folder."""
    files = [file for ending in ("yaml", "sql", "toml") for file in FOLDER.rglob(f"*.{ending}")]
    return [file for file in files if HEADER in file.read_text().partition("\n")[0]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
