"""The rules for a contract before it is frozen. An event in the log cannot be taken back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from crossdock_events._catalogue import Catalogue
from crossdock_events._event import Event, Topic
from crossdock_events._schema import consumer_schema

_TYPE = re.compile(r"crossdock\.[A-Z][A-Za-z]*\.v[1-9][0-9]*")
_TOPIC = re.compile(r"crossdock\.[a-z]+(-[a-z]+)*\.v[1-9][0-9]*")
_OWNER = re.compile(r"[a-z]+(-[a-z]+)*-service")
_LONGEST_TEXT = 64  # longer texts hold sentences, and sentences can name people

# fmt: off
PERSONAL = frozenset({
    "name", "firstname", "lastname", "surname", "forename", "email", "mail", "phone", "mobile", "telephone", "fax",
    "street", "address", "house", "birthday", "birthdate", "birth", "born", "age", "gender", "iban", "card", "passport",
    "ssn", "ip", "latitude", "longitude", "zip", "postcode", "signature",
})
FREE_TEXT = frozenset({
    "note", "notes", "comment", "comments", "text", "message", "description", "remark", "remarks", "body", "memo",
})
# fmt: on
_COARSE_ENOUGH = frozenset({"postcode_outward"})
_OF_AN_ORDER = frozenset({"line_id", "shipment_id", "rma_id", "reservation_id"})


@dataclass(frozen=True, slots=True)
class Violation:
    """A problem of a subject, and the remedy for the author."""

    subject: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}\n    -> {self.remedy}"


def lint(catalogue: Catalogue) -> Iterator[Violation]:
    yield from _topics(catalogue)
    for contract in catalogue:
        for problem, remedy in _contract(contract):
            yield Violation(contract.ce_type, problem, remedy)


Finding = tuple[str, str]


def _topics(catalogue: Catalogue) -> Iterator[Violation]:
    by_name: dict[str, set[Topic]] = {}
    for topic in catalogue.topics():
        by_name.setdefault(topic.name, set()).add(topic)
    for name, declared in sorted(by_name.items()):
        if len(declared) > 1:
            owners = ", ".join(sorted({topic.owner for topic in declared}))
            yield Violation(
                name,
                f"declared {len(declared)} times (owners: {owners})",
                "keep one base class per topic, with one owner",
            )
        for topic in declared:
            if not _TOPIC.fullmatch(topic.name):
                yield Violation(name, "is not named crossdock.<aggregate>.v<n>", "rename it before an event is sent")
            if not _OWNER.fullmatch(topic.owner):
                yield Violation(name, f"owner {topic.owner!r} is not a service", "name it like its folder in services/")


def _contract(contract: type[Event]) -> Iterator[Finding]:
    if not _TYPE.fullmatch(contract.ce_type):
        yield "its type is not crossdock.<PastTense>.v<n>", "correct the type before an event is sent"
    if not (contract.__dict__.get("__doc__") or "").strip():
        yield "has no docstring", "add a docstring: the fact, and the reaction that a consumer needs"
    key = contract.model_fields.get(contract.topic.key)
    if key is None or not key.is_required() or not {str, UUID} & set(_atoms(key.annotation)):
        yield f"lacks a required {contract.topic.key}, the key of its topic", "declare it on the topic's base class"
    fields = list(_fields(contract, ()))
    for path, field in fields:
        for problem, remedy in _field(path, field):
            yield f"field {'.'.join(path)} {problem}", remedy
    names = {path[-1] for path, _ in fields}
    order = contract.model_fields.get("order_id")
    if (about := names & _OF_AN_ORDER) and (order is None or not order.is_required()):
        yield f"has {', '.join(sorted(about))} but no required order_id", "add the order_id of the order"
    if (seen_by := contract.visible_to_partner) is not None and not _identifies(contract.model_fields.get(seen_by)):
        yield (
            f"is visible to the partner in {seen_by}, which is not a required Identifier",
            "name the required Identifier field with the partner, or drop visible_to_partner",
        )
    for place in _unbounded_text(consumer_schema(contract), ""):
        yield (
            f"allows free text at {place}",
            f"bound it: Identifier, Code, a pattern or max_length <= {_LONGEST_TEXT}; sentences stay in your database",
        )


def _identifies(field: FieldInfo | None) -> bool:
    return field is not None and field.is_required() and field.annotation is str


def _field(path: tuple[str, ...], field: FieldInfo) -> Iterator[Finding]:
    words = set(path[-1].split("_"))
    if path[-1] not in _COARSE_ENOUGH and (found := words & PERSONAL):
        yield (
            f"looks like personal data ({', '.join(sorted(found))})",
            "send an opaque id; the owner's API has the rest",
        )
    if found := words & FREE_TEXT:
        yield f"looks like free text ({', '.join(sorted(found))})", "send a Code; the owner's API has the text"
    annotation: Any = field.annotation
    if _nullable(annotation):
        if field.is_required() or field.default is not None:
            yield "may be absent but does not default to None", "declare it `X | None = None`: null is never sent"
        annotation = Union[tuple(each for each in get_args(annotation) if each is not NoneType)]  # noqa: UP007
    if any(_nullable(inner) for inner in _inside(annotation)):
        yield "holds nulls inside a collection", "leave such elements out: null is never sent"
    atoms = set(_atoms(annotation))
    if atoms & {dict, Any}:
        yield "has no fixed shape", "declare a Value with named fields"
    if datetime in atoms:
        yield "is a time that may lack its offset", "declare it AwareDatetime"


def _fields(
    model: type[BaseModel], path: tuple[str, ...], within: tuple[type, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    if model in within:
        raise ValueError(f"{model.__name__} contains itself: declare a model without recursion")
    for name, field in model.model_fields.items():
        yield (*path, name), field
        for atom in _atoms(field.annotation):
            if isinstance(atom, type) and issubclass(atom, BaseModel):
                yield from _fields(atom, (*path, name), (*within, model))


def _nullable(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)


def _inside(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and the annotations inside it, at any depth."""
    yield annotation
    arguments = get_args(annotation)
    for inner in arguments[:1] if get_origin(annotation) is Annotated else arguments:
        if inner is not Ellipsis:
            yield from _inside(inner)


def _atoms(annotation: Any) -> Iterator[Any]:
    for inner in _inside(annotation):
        origin = get_origin(inner)
        yield inner if origin is None else origin


def _unbounded_text(schema: Any, at: str) -> Iterator[str]:
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not (
            schema.keys() & {"format", "pattern", "enum", "const"}
            or schema.get("maxLength", _LONGEST_TEXT + 1) <= _LONGEST_TEXT
        ):
            yield at
        for key, inner in schema.items():
            yield from _unbounded_text(inner, f"{at}/{key}")
    elif isinstance(schema, list):
        for place, inner in enumerate(schema):
            yield from _unbounded_text(inner, f"{at}/{place}")
