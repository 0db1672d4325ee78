"""Generated files of the services, and the lock: `python -m crossdock_local.checks` compares, `… write` makes them.

The OpenAPI description of each service is committed, so that a change of what clients see is read in review.
"""

import difflib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from crossdock_local.layout import checkout
from crossdock_local.services import Installed, installed

# The description depends on none of these, and nothing connects to them.
NOWHERE = {"postgres": "postgresql://nobody@127.0.0.1:1/none", "kafka": "127.0.0.1:1", "issuer": "http://127.0.0.1:1"}


def openapi(service: Installed) -> str:
    built = service.build({f"CROSSDOCK_{name.upper()}": value for name, value in NOWHERE.items()})
    return json.dumps(built.api().openapi(), indent=2, sort_keys=True) + "\n"


def file_of(service: Installed) -> Path:
    return checkout() / "docs" / "generated" / f"{service.name}.openapi.json"


def differences() -> Iterator[str]:
    """What differs between the committed descriptions and the code, as text to read."""
    for service in installed():
        file = file_of(service)
        committed, made = file.read_text() if file.exists() else "", openapi(service)
        lines = difflib.unified_diff(
            committed.splitlines(), made.splitlines(), str(file), "what the code says", n=2, lineterm=""
        )
        yield from lines


def main(arguments: list[str]) -> int:
    if arguments == ["write"]:
        for service in installed():
            file_of(service).parent.mkdir(parents=True, exist_ok=True)
            file_of(service).write_text(openapi(service))
        return 0
    found = list(differences())
    print("\n".join(found[:60]), end="\n" if found else "")
    if found:
        print("The OpenAPI descriptions are not what the code says: run `make generate` and read the difference.")
    bootstrap = checkout() / "deploy" / "local" / "bootstrap.py"
    lock = subprocess.run([sys.executable, str(bootstrap), "check-lock"], check=False)
    return 1 if found or lock.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
