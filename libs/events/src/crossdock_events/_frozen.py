"""The frozen files: schemas by revision, golden examples, and hashes that detect edits of both."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crossdock_events._catalogue import Catalogue
from crossdock_events._event import Event
from crossdock_events._lint import Violation, lint
from crossdock_events._schema import consumer_schema
from crossdock_events.compatibility import breaking, changes
from crossdock_events.examples import Example

_SCHEMA = re.compile(r"(?P<type>.+\.v\d+)\.r(?P<revision>\d+)\.json")
_EXAMPLE = re.compile(r"(?P<type>.+\.v\d+)\.(?P<label>[a-z0-9]+(-[a-z0-9]+)*)\.json")
HASHES = "frozen.sha256"
NEW_VERSION = "keep the old shape, or declare the next version of the type beside it with upcast() on the old class"


@dataclass(frozen=True, slots=True)
class Revision:
    number: int
    path: Path
    schema: dict[str, Any]

    @property
    def stable(self) -> bool:
        return self.schema.get("x-stability") == "stable"


@dataclass(frozen=True, slots=True)
class Golden:
    label: str
    path: Path
    document: dict[str, Any]
    """A CloudEvent in structured mode."""


class Library:
    """The folder `libs/events`: `schemas/<type>.r<n>.json`, `examples/<type>.<label>.json`, `frozen.sha256`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._revisions: dict[str, list[Revision]] = {}
        self._goldens: dict[str, list[Golden]] = {}
        self.strays: list[Path] = []
        for path in sorted((folder / "schemas").glob("*")):
            if match := _SCHEMA.fullmatch(path.name):
                revision = Revision(int(match["revision"]), path, json.loads(path.read_text()))
                self._revisions.setdefault(match["type"], []).append(revision)
            else:
                self.strays.append(path)
        for path in sorted((folder / "examples").glob("*")):
            if match := _EXAMPLE.fullmatch(path.name):
                golden = Golden(match["label"], path, json.loads(path.read_text()))
                self._goldens.setdefault(match["type"], []).append(golden)
            else:
                self.strays.append(path)

    def types(self) -> set[str]:
        return self._revisions.keys() | self._goldens.keys()

    def revisions(self, ce_type: str) -> list[Revision]:
        return sorted(self._revisions.get(ce_type, []), key=lambda each: each.number)

    def goldens(self, ce_type: str) -> list[Golden]:
        return self._goldens.get(ce_type, [])

    def files(self, ce_type: str) -> list[Path]:
        return [
            *(revision.path for revision in self.revisions(ce_type)),
            *(golden.path for golden in self.goldens(ce_type)),
        ]

    def schema_path(self, ce_type: str, revision: int) -> Path:
        return self.folder / "schemas" / f"{ce_type}.r{revision}.json"

    def example_path(self, ce_type: str, label: str) -> Path:
        return self.folder / "examples" / f"{ce_type}.{label}.json"

    def hashes(self) -> dict[str, str]:
        """Return the hashes by path relative to the folder, in the format of `sha256sum --check`."""
        file = self.folder / HASHES
        lines = file.read_text().splitlines() if file.exists() else []
        return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def render(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def golden_of(example: Example) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(example.envelope.encode_structured().value)
    return document


def rewritten(contract: type[Event], data: Any) -> Any:
    """Return `data` after the class has read and written it. Raise ValidationError if the class refuses it."""
    event = contract.model_validate_json(json.dumps(data), strict=True, extra="ignore")
    return json.loads(event.to_json())


@dataclass(frozen=True, slots=True)
class Plan:
    """The files that `freeze` would write. If there are refusals, it writes nothing."""

    writes: dict[Path, str]
    refusals: list[Violation]


def plan(catalogue: Catalogue, examples: Iterable[Example], library: Library) -> Plan:
    by_type: dict[str, list[Example]] = {}
    for example in examples:
        by_type.setdefault(example.envelope.event.ce_type, []).append(example)
    writes: dict[Path, str] = {}
    refusals = list(lint(catalogue))
    stable: set[Path] = set()
    for contract in catalogue:
        for step in (*_schemas(contract, library), *_goldens(contract, by_type.get(contract.ce_type, []), library)):
            if isinstance(step, Violation):
                refusals.append(step)
            else:
                writes[step[0]] = step[1]
        if contract.stability == "stable":
            stable |= {path for path in writes if path.name.startswith(f"{contract.ce_type}.")}
            stable |= set(library.files(contract.ce_type))
    hashes = library.hashes()
    for path in stable:
        if library.name(path) not in hashes:
            content = writes[path].encode() if path in writes else path.read_bytes()
            hashes[library.name(path)] = hashlib.sha256(content).hexdigest()
    if hashes != library.hashes():
        writes[library.folder / HASHES] = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    return Plan(writes, refusals)


Step = tuple[Path, str] | Violation


def _schemas(contract: type[Event], library: Library) -> Iterator[Step]:
    ce_type, schema = contract.ce_type, consumer_schema(contract)
    revisions = library.revisions(ce_type)
    if not revisions:
        yield library.schema_path(ce_type, 1), render(schema)
        return
    newest = revisions[-1]
    if not newest.stable:
        if newest.schema != schema:
            yield newest.path, render(schema)
        return
    if contract.stability != "stable":
        yield Violation(ce_type, "was stable and is now a draft", "make it stable again: consumers rely on its shape")
        return
    if not changes(newest.schema, schema):
        return
    breaks = [
        Violation(ce_type, f"breaks revision {revision.number} at {change}", NEW_VERSION)
        for revision in revisions
        for change in breaking(revision.schema, schema)
    ]
    yield from breaks
    if not breaks:
        yield library.schema_path(ce_type, newest.number + 1), render(schema)


def _goldens(contract: type[Event], examples: list[Example], library: Library) -> Iterator[Step]:
    ce_type = contract.ce_type
    there = {golden.label: golden for golden in library.goldens(ce_type)}
    hashes = library.hashes()
    for example in examples:
        path, document = library.example_path(ce_type, example.label), golden_of(example)
        golden = there.get(example.label)
        if golden is None or (golden.document != document and library.name(path) not in hashes):
            yield path, render(document)
        elif _as_read(contract, golden.document) != document:
            yield Violation(
                f"{ce_type}, example {example.label!r}",
                "differs from its golden file",
                "restore it in crossdock_events/examples, and add the changed example under another label",
            )
    if not examples and not there:  # later the golden files are enough
        yield Violation(ce_type, "has no example", "add one to EXAMPLES in crossdock_events/examples")


def _as_read(contract: type[Event], document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the document with the defaults of later properties, or None if the class cannot read it."""
    try:
        return {**document, "data": rewritten(contract, document["data"])}
    except (KeyError, ValidationError):
        return None
