"""The rules of `check`, which keep old and new producers and consumers compatible."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from crossdock_events._catalogue import Catalogue, Malformed, Unknown
from crossdock_events._envelope import STRUCTURED, Message
from crossdock_events._event import Event
from crossdock_events._frozen import HASHES, Golden, Library, digest, plan, rewritten
from crossdock_events._lint import Violation
from crossdock_events._schema import consumer_schema
from crossdock_events.examples import Example

RUN_FREEZE = "run `python -m crossdock_events freeze` and commit the files that it writes"
READ_ON = "change the class so that it reads this example: such events are in the log"
RESTORE = "restore the file from version control: a frozen file never changes"


def check(catalogue: Catalogue, examples: Iterable[Example], library: Library) -> Iterator[Violation]:
    yield from _hashes(library)
    yield from _orphans(catalogue, library)
    planned = plan(catalogue, examples, library)
    yield from planned.refusals
    for path in planned.writes:
        yield Violation(library.name(path), "differs from the contracts", RUN_FREEZE)
    for contract in catalogue:
        yield from _examples(catalogue, contract, library)


def _hashes(library: Library) -> Iterator[Violation]:
    for name, expected in library.hashes().items():
        path = library.folder / name
        if not path.is_file():
            yield Violation(name, f"is listed in {HASHES} but gone", RESTORE)
        elif digest(path) != expected:
            yield Violation(name, f"was edited after it was frozen ({HASHES})", RESTORE)


def _orphans(catalogue: Catalogue, library: Library) -> Iterator[Violation]:
    for path in library.strays:
        yield Violation(library.name(path), "is neither a schema nor an example by its name", "rename or remove it")
    frozen = library.hashes()
    known = {contract.ce_type for contract in catalogue}
    for ce_type in sorted(library.types() - known):
        for path in library.files(ce_type):
            remedy = (
                f"restore the class of {ce_type}: its events are in the log for ever"
                if library.name(path) in frozen
                else "remove the file of this draft, which has no class"
            )
            yield Violation(library.name(path), "has no class", remedy)
    for ce_type in sorted(known):
        numbers = [revision.number for revision in library.revisions(ce_type)]
        if numbers != list(range(1, len(numbers) + 1)):
            yield Violation(ce_type, f"has schema revisions {numbers}", "restore the missing revisions")


def _examples(catalogue: Catalogue, contract: type[Event], library: Library) -> Iterator[Violation]:
    schemas = {"the class's schema": consumer_schema(contract)}
    schemas |= {f"schema revision {each.number}": each.schema for each in library.revisions(contract.ce_type)}
    validators = {
        name: Draft202012Validator(schema, format_checker=FormatChecker()) for name, schema in schemas.items()
    }
    for golden in library.goldens(contract.ce_type):
        subject = library.name(golden.path)
        for problem in _problems(catalogue, contract, golden, validators):
            stable = contract.stability == "stable"
            yield Violation(subject, problem, READ_ON if stable else "remove the file: a draft promises nothing yet")


def _problems(
    catalogue: Catalogue, contract: type[Event], golden: Golden, validators: dict[str, Draft202012Validator]
) -> Iterator[str]:
    document = golden.document
    if document.get("type") != contract.ce_type:
        yield f"is of type {document.get('type')}"
        return
    key = str(document.get("subject")).encode()
    structured = Message(contract.topic.name, key, json.dumps(document).encode(), {"content-type": STRUCTURED})
    arrived = catalogue.decode(structured)
    if isinstance(arrived, Malformed | Unknown):
        yield f"does not decode: {arrived.reason if isinstance(arrived, Malformed) else 'its type is unknown'}"
        return
    if catalogue.decode(arrived.encode()) != arrived or catalogue.decode(arrived.encode_structured()) != arrived:
        yield "does not survive being sent again"
    data = document["data"]
    written = rewritten(contract, data)
    if (lost := _lost(data, written, "")) is not None:
        yield f"comes back different at {lost}"
    for name, validator in validators.items():
        for what, instance in (("the example", data), ("what the class writes for it", written)):
            for error in validator.iter_errors(instance):
                yield f"{name} refuses {what} at /{'/'.join(map(str, error.absolute_path))}: {error.validator}"


def _lost(before: Any, after: Any, at: str) -> str | None:
    """Return the first place where `after` lacks or changes a value of `before`. `after` may have more properties."""
    if isinstance(before, dict) and isinstance(after, dict):
        places = (
            (_lost(each, after[name], f"{at}/{name}") if name in after else f"{at}/{name}")
            for name, each in before.items()
        )
        return next((place for place in places if place is not None), None)
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        places = (_lost(each, after[i], f"{at}/{i}") for i, each in enumerate(before))
        return next((place for place in places if place is not None), None)
    return None if before == after else at or "/"
