"""Check manifests against the committed schemas of their kinds."""

import json
from collections.abc import Iterator
from functools import cache

from deploy.k8s.files import FOLDER
from deploy.k8s.workloads import Manifest
from jsonschema import Draft202012Validator


def errors(manifest: Manifest) -> Iterator[str]:
    """Yield a sentence for each field that does not fit. A kind without a schema is an error too."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    validator = _validators().get(f"{manifest['apiVersion']} {manifest['kind']}")
    if validator is None:
        yield f"{name} has no schema: add {manifest['apiVersion']} to schemas/__main__.py"
    else:
        for error in validator.iter_errors(manifest):
            yield f"{name}: {error.json_path} {error.message}"


@cache
def _validators() -> dict[str, Draft202012Validator]:
    found = {}
    for file in sorted((FOLDER / "schemas").glob("*.json")):
        schemas = json.loads(file.read_text())
        for kind, schema in schemas["kinds"].items():
            found[kind] = Draft202012Validator({**schema, "$defs": schemas.get("$defs", {})})
    return found
