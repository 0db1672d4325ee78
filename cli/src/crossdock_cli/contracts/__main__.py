"""Compare the generated files with the code: `python -m crossdock_cli.contracts`. `… write` generates the files.

The OpenAPI description of each service and the table of published and consumed events are committed. A reviewer
therefore reads every change that clients and subscribers can see. A change that breaks clients is only written with
`--break`. The comparison also checks the lock file of the dependencies.
"""

import argparse
import difflib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from crossdock_cli.clone import checkout
from crossdock_cli.contracts import openapi, settings
from crossdock_cli.discovery import NOWHERE, installed

if TYPE_CHECKING:
    from crossdock_chassis import Service

_OPENAPI = ".openapi.json"
_REMEDY = (
    "Clients rely on the committed description: keep the old shape, or offer the new one beside it under another path "
    "or version (`make generate BREAK=1` writes an intended break)."
)


def generated() -> dict[Path, str]:
    """Return the text of each generated file, as the code defines it."""
    folder = checkout() / "docs" / "generated"
    built = {each.name: each.build(NOWHERE) for each in installed()}
    files = {
        folder / f"{name}{_OPENAPI}": json.dumps(service.api().openapi(), indent=2, sort_keys=True) + "\n"
        for name, service in built.items()
    }
    return {**files, folder / "services.md": _who_hears_what(built), folder / "settings.md": settings.page(built)}


def _who_hears_what(services: Mapping[str, "Service"]) -> str:
    from crossdock_events import CATALOGUE  # noqa: PLC0415  (a slow import that commands about processes do not need)

    lines = [
        "# Events by service",
        "",
        "<!-- Generated from the reaction tables of the services: `make generate`. -->",
        "",
        "A reaction runs once for each event. A projection stores a copy of the events' data and can be rebuilt.",
    ]
    for name, service in services.items():
        own = [event for event in CATALOGUE if event.topic.owner == name]
        lines += ["", f"## {name}", "", "| publishes | on |", "|---|---|"]
        lines += [f"| `{event.ce_type}` | `{event.topic.name}` |" for event in own]
        lines += ["", "| consumes | as | handler |", "|---|---|---|"]
        for row in service.reads():
            if row.kind == "log":
                lines.append("| every record of every topic | log | |")
                continue
            kind = row.kind if row.projection is None else f"projection `{row.projection}`"
            lines.append(f"| {', '.join(f'`{each}`' for each in row.types)} | {kind} | `{row.handler}` |")
        lines += ["", "| its Kafka user may | |", "|---|---|"]
        for grant in service.grants():
            names = f"{grant.resource}s that begin with" if grant.prefixed else f"the {grant.resource}"
            lines.append(f"| {grant.operation} | {names} `{grant.name}` |")
    return "\n".join(lines) + "\n"


def differences(made: Mapping[Path, str]) -> Iterator[str]:
    """Yield the lines of a diff between the committed files and the generated ones."""
    for file, text in made.items():
        yield from difflib.unified_diff(
            _committed(file).splitlines(), text.splitlines(), str(file), "generated from the code", n=2, lineterm=""
        )


def breaks(made: Mapping[Path, str]) -> dict[Path, list[str]]:
    """Return, for each description that differs, the changes that break its clients."""
    descriptions = {file: text for file, text in made.items() if file.name.endswith(_OPENAPI)}
    return {file: _breaks(file, text) for file, text in descriptions.items() if text != _committed(file)}


def _breaks(file: Path, text: str) -> list[str]:
    if not file.exists():
        return []
    try:
        committed = json.loads(_committed(file))
    except ValueError:
        return ["the committed file cannot be read: restore it from version control"]
    return [str(each) for each in openapi.breaks(committed, json.loads(text))]


def _committed(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def write(*, may_break: bool) -> int:
    made = generated()
    broken = [] if may_break else [f"{file.name}: {each}" for file, found in breaks(made).items() for each in found]
    if broken:
        print(*broken, f"No file was written. {_REMEDY}", sep="\n", file=sys.stderr)
        return 1
    for file, text in made.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return 0


def compare() -> int:
    made = generated()
    found = list(differences(made))
    if found:
        print(*found[:60], sep="\n")
        broken = breaks(made)
        for file, each in broken.items():
            print(*[f"BREAK {file.name}: {said}" for said in each] or [f"{file.name}: breaks no client"], sep="\n")
        print("The generated files differ from the code: run `make generate` and review the difference.")
        if any(broken.values()):
            print(_REMEDY)
    bootstrap = checkout() / "deploy" / "local" / "bootstrap.py"
    lock = subprocess.run([sys.executable, str(bootstrap), "check-lock"], check=False)
    return 1 if found or lock.returncode else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m crossdock_cli.contracts", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("compare", "write"), default="compare")
    parser.add_argument("--break", dest="may_break", action="store_true", help="write even changes that break clients")
    options = parser.parse_args(arguments)
    return write(may_break=options.may_break) if options.command == "write" else compare()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
