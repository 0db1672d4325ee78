"""Each kind of change, and its classification."""

from typing import Any

import pytest

from crossdock_events.compatibility import BACKWARD, FORWARD, Change, Direction, Kind, breaking, changes


def thing(**properties: Any) -> dict[str, Any]:
    required = [name for name, schema in properties.items() if not (isinstance(schema, dict) and "optional" in schema)]
    bare = {name: _without_mark(schema) for name, schema in properties.items()}
    return {"type": "object", "properties": bare, "required": required}


def _without_mark(schema: Any) -> Any:
    return {key: value for key, value in schema.items() if key != "optional"} if isinstance(schema, dict) else schema


TEXT: dict[str, Any] = {"type": "string", "maxLength": 8}
OPEN: dict[str, Any] = {"type": "string", "pattern": "^[a-z]+$", "x-open-enum": ["red", "blue"]}
CLOSED: dict[str, Any] = {"type": "string", "enum": ["red", "blue"]}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 9}
LIST: dict[str, Any] = {"type": "array", "items": COUNT, "minItems": 1, "maxItems": 5}
SHORT_LIST: dict[str, Any] = {**LIST, "maxItems": 2}


def optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "optional": True}


def referring(definition: Any, **schema: Any) -> dict[str, Any]:
    return {"$defs": {"Part": definition}, **(schema or thing(part={"$ref": "#/$defs/Part"}))}


BREAKING: list[tuple[str, Kind, Any, Any, str]] = [
    ("a property goes", "property-removed", thing(a=TEXT, b=COUNT), thing(a=TEXT), "/properties/b"),
    ("an optional property goes", "property-removed", thing(b=optional(COUNT)), thing(), "/properties/b"),
    ("a property is renamed", "property-renamed", thing(b=COUNT), thing(c=COUNT), "/properties/b"),
    ("a required property comes", "required-added", thing(a=TEXT), thing(a=TEXT, b=COUNT), "/required"),
    ("an optional one becomes required", "required-added", thing(a=optional(TEXT)), thing(a=TEXT), "/required"),
    ("a required one becomes optional", "required-removed", thing(a=TEXT), thing(a=optional(TEXT)), "/required"),
    ("another type", "type", thing(a={"type": "integer"}), thing(a={"type": "string"}), "/properties/a/type"),
    ("a wider type", "type", thing(a={"type": "integer"}), thing(a={"type": "number"}), "/properties/a/type"),
    ("a narrower type", "type", thing(a={"type": "number"}), thing(a={"type": "integer"}), "/properties/a/type"),
    ("a type comes", "type", thing(a={}), thing(a={"type": "string"}), "/properties/a/type"),
    ("a type goes", "type", thing(a={"type": "string"}), thing(a={}), "/properties/a/type"),
    ("null in the list of types comes", "type", {"type": "string"}, {"type": ["string", "null"]}, "/type"),
    ("null goes", "alternative", {"anyOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT]}, "/anyOf/1"),
    ("null comes", "alternative", {"anyOf": [TEXT]}, {"anyOf": [TEXT, {"type": "null"}]}, "/anyOf/1"),
    (
        "an alternative changes within",
        "bound",
        {"anyOf": [TEXT, COUNT]},
        {"anyOf": [TEXT, {**COUNT, "maximum": 8}]},
        "/anyOf/1/maximum",
    ),
    ("oneOf gains one", "alternative", {"oneOf": [TEXT]}, {"oneOf": [COUNT, TEXT]}, "/oneOf/0"),
    ("a format comes", "format", {"type": "string"}, {"type": "string", "format": "uuid"}, "/format"),
    ("a format goes", "format", {"type": "string", "format": "uuid"}, {"type": "string"}, "/format"),
    ("another format", "format", {"format": "date"}, {"format": "date-time"}, "/format"),
    ("a minimum rises", "bound", COUNT, {**COUNT, "minimum": 2}, "/minimum"),
    ("a minimum falls", "bound", COUNT, {**COUNT, "minimum": 0}, "/minimum"),
    ("a maximum falls", "bound", COUNT, {**COUNT, "maximum": 8}, "/maximum"),
    ("a maximum rises", "bound", COUNT, {**COUNT, "maximum": 10}, "/maximum"),
    ("a maximum goes", "bound", COUNT, {"type": "integer", "minimum": 1}, "/maximum"),
    ("an exclusive minimum comes", "bound", COUNT, {**COUNT, "exclusiveMinimum": 1}, "/exclusiveMinimum"),
    ("an exclusive maximum comes", "bound", COUNT, {**COUNT, "exclusiveMaximum": 9}, "/exclusiveMaximum"),
    ("multipleOf comes", "bound", COUNT, {**COUNT, "multipleOf": 3}, "/multipleOf"),
    ("a text may be longer", "bound", TEXT, {**TEXT, "maxLength": 9}, "/maxLength"),
    ("a text must be shorter", "bound", TEXT, {**TEXT, "maxLength": 7}, "/maxLength"),
    ("a text must be longer", "bound", TEXT, {**TEXT, "minLength": 1}, "/minLength"),
    ("a list needs more", "bound", LIST, {**LIST, "minItems": 2}, "/minItems"),
    ("a list needs fewer", "bound", LIST, {**LIST, "minItems": 0}, "/minItems"),
    ("a list may be longer", "bound", LIST, {**LIST, "maxItems": 6}, "/maxItems"),
    ("a list becomes a set", "bound", LIST, {**LIST, "uniqueItems": True}, "/uniqueItems"),
    ("an element changes", "bound", LIST, {**LIST, "items": {**COUNT, "minimum": 0}}, "/items/minimum"),
    ("elements are no longer described", "keyword", LIST, {"type": "array", "minItems": 1, "maxItems": 5}, "/items"),
    ("a tuple grows", "bound", {"prefixItems": [TEXT]}, {"prefixItems": [TEXT, COUNT]}, "/prefixItems"),
    (
        "a place of a tuple changes",
        "bound",
        {"prefixItems": [TEXT]},
        {"prefixItems": [{**TEXT, "maxLength": 1}]},
        "/prefixItems/0/maxLength",
    ),
    ("a pattern comes", "pattern", TEXT, {**TEXT, "pattern": "^x"}, "/pattern"),
    ("a pattern changes", "pattern", OPEN, {**OPEN, "pattern": "^[a-z]*$"}, "/pattern"),
    (
        "a closed enum gains a value",
        "closed-enum",
        CLOSED,
        {"type": "string", "enum": ["red", "blue", "green"]},
        "/enum",
    ),
    ("a closed enum loses a value", "closed-enum", CLOSED, {"type": "string", "enum": ["red"]}, "/enum"),
    ("an enum is opened", "closed-enum", CLOSED, {"type": "string"}, "/enum"),
    ("an enum is closed", "closed-enum", {"type": "string"}, CLOSED, "/enum"),
    ("a constant changes", "closed-enum", {"const": "v1"}, {"const": "v2"}, "/enum"),
    ("a constant becomes an enum", "closed-enum", {"const": "v1"}, {"enum": ["v1", "v2"]}, "/enum"),
    ("an open enum loses a value", "open-enum-shrunk", OPEN, {**OPEN, "x-open-enum": ["red"]}, "/x-open-enum"),
    ("an open enum loses its mark", "open-enum-mark", OPEN, {"type": "string", "pattern": "^[a-z]+$"}, "/x-open-enum"),
    ("a default changes", "default", {"default": 1}, {"default": 2}, "/default"),
    ("a default goes", "default", {"default": 1}, {}, "/default"),
    ("the key changes", "promise", {"x-key": "order_id"}, {"x-key": "item_id"}, "/x-key"),
    ("the topic changes", "promise", {"x-topic": "a"}, {"x-topic": "b"}, "/x-topic"),
    ("a state becomes a change", "promise", {"x-carries": "state"}, {"x-carries": "change"}, "/x-carries"),
    ("objects are closed", "keyword", thing(), {**thing(), "additionalProperties": False}, "/additionalProperties"),
    ("objects are opened", "keyword", {**thing(), "additionalProperties": False}, thing(), "/additionalProperties"),
    (
        "a map's values change",
        "bound",
        {"additionalProperties": COUNT},
        {"additionalProperties": {**COUNT, "minimum": 0}},
        "/additionalProperties/minimum",
    ),
    (
        "a closed object gains a property",
        "property-barred",
        {**thing(), "additionalProperties": False},
        {**thing(a=optional(TEXT)), "additionalProperties": False},
        "/properties/a",
    ),
    (
        "a map gains a property of its own",
        "property-barred",
        {"additionalProperties": COUNT},
        {"additionalProperties": COUNT, "properties": {"a": TEXT}},
        "/properties/a",
    ),
    (
        "a pattern's property gains a schema",
        "property-barred",
        {"patternProperties": {"^a": COUNT}},
        {"patternProperties": {"^a": COUNT}, "properties": {"ab": TEXT}},
        "/properties/ab",
    ),
    ("properties by pattern come", "keyword", {}, {"patternProperties": {"^a": COUNT}}, "/patternProperties/^a"),
    (
        "properties by pattern change",
        "bound",
        {"patternProperties": {"a/b": COUNT}},
        {"patternProperties": {"a/b": {**COUNT, "minimum": 0}}},
        "/patternProperties/a~1b/minimum",
    ),
    (
        "a definition changes behind its reference",
        "bound",
        referring(thing(a=TEXT)),
        referring(thing(a={**TEXT, "maxLength": 9})),
        "/properties/part/properties/a/maxLength",
    ),
    ("another definition is referred to", "type", referring(TEXT), referring(COUNT), "/properties/part/type"),
    (
        "a required property comes, deep down",
        "required-added",
        thing(a={"type": "array", "items": thing(b=TEXT)}),
        thing(a={"type": "array", "items": thing(b=TEXT, c=TEXT)}),
        "/properties/a/items/required",
    ),
    ("allOf gains a constraint", "keyword", {"allOf": [COUNT]}, {"allOf": [COUNT, {"minimum": 3}]}, "/allOf:minimum"),
    (
        "one of three constraints changes",
        "keyword",
        {"allOf": [COUNT, {"minimum": 2}, {"minimum": 3}]},
        {"allOf": [COUNT, {"minimum": 4}, {"minimum": 3}]},
        "/allOf:minimum",
    ),
    ("an unknown keyword comes", "keyword", {}, {"contentEncoding": "base64"}, "/contentEncoding"),
    ("not, which turns everything round", "keyword", {"not": TEXT}, {"not": {**TEXT, "maxLength": 9}}, "/not"),
    (
        "a definition behind an unknown keyword",
        "keyword",
        referring(TEXT, **{"not": {"$ref": "#/$defs/Part"}}),
        referring(COUNT, **{"not": {"$ref": "#/$defs/Part"}}),
        "/not",
    ),
    ("nothing is allowed any more", "keyword", thing(a={}), thing(a=False), "/properties/a/not"),
]

COMPATIBLE: list[tuple[str, list[Kind], Any, Any]] = [
    ("an optional property comes", ["property-added"], thing(a=TEXT), thing(a=TEXT, b=optional(COUNT))),
    ("one with a default comes", ["property-added"], thing(), thing(b={**COUNT, "default": 1, "optional": True})),
    ("an optional object comes", ["property-added"], thing(), thing(b=optional(thing(c=TEXT, d=TEXT)))),
    (
        "an optional property comes, deep down",
        ["property-added"],
        thing(a={"type": "array", "items": thing()}),
        thing(a={"type": "array", "items": thing(b=optional(TEXT))}),
    ),
    ("an open enum grows", ["open-enum-grown"], OPEN, {**OPEN, "x-open-enum": ["red", "green", "blue"]}),
    (
        "an optional property comes in an alternative",
        ["property-added"],
        {"anyOf": [thing(a=TEXT), COUNT]},
        {"anyOf": [COUNT, thing(a=TEXT, b=optional(TEXT))]},
    ),
    ("nothing", [], thing(a=TEXT, b=LIST), thing(a=TEXT, b=LIST)),
    (
        "prose",
        [],
        {**TEXT, "title": "A", "description": "B"},
        {**TEXT, "title": "C", "examples": ["d"], "deprecated": True},
    ),
    ("the order of properties", [], thing(a=TEXT, b=COUNT), thing(b=COUNT, a=TEXT)),
    ("the order of a closed enum", [], {"enum": [1, 2]}, {"enum": [2, 1]}),
    ("the order of an open enum", [], OPEN, {**OPEN, "x-open-enum": ["blue", "red"]}),
    ("the order of alternatives", [], {"anyOf": [TEXT, COUNT]}, {"anyOf": [COUNT, TEXT]}),
    ("the order of types", [], {"type": ["string", "null"]}, {"type": ["null", "string"]}),
    ("a part moves into a definition", [], thing(part=thing(a=TEXT)), referring(thing(a=TEXT))),
    ("a definition is renamed", [], referring(TEXT), {"$defs": {"Bit": TEXT}, **thing(part={"$ref": "#/$defs/Bit"})}),
    (
        "a reference gets a description",
        [],
        referring(TEXT),
        referring(TEXT, **thing(part={"$ref": "#/$defs/Part", "description": "x"})),
    ),
    ("allOf of one", [], TEXT, {"allOf": [TEXT]}),
    ("allOf of disjoint constraints", [], COUNT, {"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 9}]}),
    ("a constant is an enum of one", [], {"const": 1}, {"enum": [1]}),
    ("openness said aloud", [], thing(), {**thing(), "additionalProperties": True}),
    ("a schema that allows all", [], thing(a={}), thing(a=True)),
    ("a draft becomes stable", [], {"x-stability": "draft"}, {"x-stability": "stable"}),
]


@pytest.mark.parametrize(
    ("kind", "old", "new", "pointer"), [each[1:] for each in BREAKING], ids=[b[0] for b in BREAKING]
)
def test_a_breaking_change_is_refused(kind: Kind, old: Any, new: Any, pointer: str) -> None:
    found = breaking(old, new)
    assert (kind, pointer) in [(change.kind, change.pointer) for change in found]
    assert all(change.reason for change in found)


@pytest.mark.parametrize(("kinds", "old", "new"), [each[1:] for each in COMPATIBLE], ids=[c[0] for c in COMPATIBLE])
def test_a_compatible_change_is_accepted(kinds: list[Kind], old: Any, new: Any) -> None:
    assert breaking(old, new) == []
    assert [change.kind for change in changes(old, new)] == kinds


def test_the_direction_is_told() -> None:
    (tighter,) = breaking(COUNT, {**COUNT, "maximum": 8})
    (looser,) = breaking(COUNT, {**COUNT, "maximum": 10})
    assert "could not read" in tighter.reason and "would refuse" in looser.reason


NULLABLE: dict[str, Any] = {"anyOf": [TEXT, {"type": "null"}]}
MAP: dict[str, Any] = {"additionalProperties": COUNT}
SHUT: dict[str, Any] = {**thing(a=TEXT), "additionalProperties": False}

# What is sent to new code breaks ("backward"), what is answered to old code ("forward"), or both.
DIRECTIONS: list[tuple[str, set[Direction], Any, Any]] = [
    ("a property goes", {"backward", "forward"}, thing(a=TEXT, b=optional(COUNT)), thing(a=TEXT)),
    ("a property is renamed", {"backward", "forward"}, thing(b=COUNT), thing(c=COUNT)),
    ("an optional property comes", set(), thing(a=TEXT), thing(a=TEXT, b=optional(COUNT))),
    ("and the object is closed", set(), SHUT, {**thing(a=TEXT, b=optional(COUNT)), "additionalProperties": False}),
    ("and the rest is a map", {"backward", "forward"}, MAP, {**MAP, "properties": {"a": COUNT}}),
    ("a required property comes", {"backward"}, thing(a=TEXT), thing(a=TEXT, b=COUNT)),
    ("an optional one becomes required", {"backward"}, thing(a=optional(TEXT)), thing(a=TEXT)),
    ("a required one becomes optional", {"forward"}, thing(a=TEXT), thing(a=optional(TEXT))),
    ("another type", {"backward", "forward"}, {"type": "integer"}, {"type": "string"}),
    ("a type comes", {"backward"}, {}, {"type": "string"}),
    ("a type goes", {"forward"}, {"type": "string"}, {}),
    ("null comes", {"forward"}, NULLABLE["anyOf"][0], NULLABLE),
    ("and the default stays", {"forward"}, {**TEXT, "default": "x"}, {**NULLABLE, "default": "x"}),
    ("null goes", {"backward"}, NULLABLE, NULLABLE["anyOf"][0]),
    ("one of many becomes another", {"backward", "forward"}, TEXT, {"anyOf": [COUNT, {"type": "boolean"}]}),
    ("all alternatives tighten", {"backward"}, {"anyOf": [thing(), LIST]}, {"anyOf": [thing(a=TEXT), SHORT_LIST]}),
    ("alternatives change places", set(), {"anyOf": [LIST, SHORT_LIST]}, {"anyOf": [SHORT_LIST, LIST]}),
    ("whichever is the wider", set(), {"anyOf": [SHORT_LIST, LIST]}, {"anyOf": [LIST, SHORT_LIST]}),
    ("an alternative comes", {"forward"}, {"anyOf": [TEXT, COUNT]}, {"anyOf": [TEXT, COUNT, LIST]}),
    ("an alternative goes", {"backward"}, {"anyOf": [TEXT, COUNT, LIST]}, {"anyOf": [TEXT, COUNT]}),
    ("one that excludes comes", {"backward", "forward"}, {"oneOf": [TEXT, COUNT]}, {"oneOf": [TEXT, COUNT, LIST]}),
    ("one that excludes loosens", {"backward", "forward"}, {"oneOf": [LIST, SHORT_LIST]}, {"oneOf": [LIST, LIST]}),
    ("a bound tightens", {"backward"}, COUNT, {**COUNT, "maximum": 8}),
    ("a bound loosens", {"forward"}, COUNT, {**COUNT, "minimum": 0}),
    ("a multiple comes", {"backward"}, COUNT, {**COUNT, "multipleOf": 3}),
    ("a multiple changes", {"backward", "forward"}, {**COUNT, "multipleOf": 2}, {**COUNT, "multipleOf": 3}),
    ("a format comes", {"backward"}, TEXT, {**TEXT, "format": "uuid"}),
    ("a format goes", {"forward"}, {**TEXT, "format": "uuid"}, TEXT),
    ("a pattern changes", {"backward", "forward"}, OPEN, {**OPEN, "pattern": "^[a-z]*$"}),
    ("a closed enum grows", {"forward"}, {**CLOSED, "enum": ["red"]}, CLOSED),
    ("a closed enum shrinks", {"backward"}, CLOSED, {**CLOSED, "enum": ["red"]}),
    ("an enum closes", {"backward"}, {"type": "string"}, CLOSED),
    ("an enum opens", {"forward"}, CLOSED, {"type": "string"}),
    ("an open enum grows", set(), OPEN, {**OPEN, "x-open-enum": ["red", "blue", "green"]}),
    ("a default comes", {"backward", "forward"}, {}, {"default": 1}),
    ("an object closes", {"backward"}, thing(), {**thing(), "additionalProperties": False}),
    ("an object opens", set(), {**thing(), "additionalProperties": False}, thing()),
    ("a closed object becomes a map", set(), {"additionalProperties": False}, MAP),
    ("an object becomes a map", {"backward"}, {}, MAP),
    ("a map's values become anything", {"forward"}, MAP, {}),
    ("a map becomes a closed object", {"backward", "forward"}, MAP, {"additionalProperties": False}),
    ("a list may hold anything", {"forward"}, LIST, {key: LIST[key] for key in LIST if key != "items"}),
    ("a list holds nothing any more", {"backward", "forward"}, LIST, {**LIST, "items": False}),
    ("a list that held nothing does", {"forward"}, {**LIST, "items": False}, LIST),
    ("an unknown keyword comes", {"backward", "forward"}, {}, {"contentEncoding": "base64"}),
    ("fewer need to be contained", {"backward", "forward"}, {"contains": TEXT}, {"contains": TEXT, "minContains": 0}),
]


@pytest.mark.parametrize(("broken", "old", "new"), [each[1:] for each in DIRECTIONS], ids=[d[0] for d in DIRECTIONS])
def test_a_change_breaks_only_who_cannot_live_with_it(broken: set[Direction], old: Any, new: Any) -> None:
    assert bool(breaking(old, new, BACKWARD)) == ("backward" in broken)
    assert bool(breaking(old, new, FORWARD)) == ("forward" in broken)


def test_references_may_lead_into_a_document_around_the_schemas() -> None:
    old, new = ({"components": {"schemas": {"Part": part}}} for part in (COUNT, {**COUNT, "maximum": 8}))
    part = thing(part={"$ref": "#/components/schemas/Part"})
    assert [each.pointer for each in breaking(part, part, BACKWARD, (old, new))] == ["/properties/part/maximum"]
    assert breaking(part, part, FORWARD, (old, new)) == []


def test_several_breaks_are_all_told() -> None:
    found = breaking(thing(a=TEXT, b=COUNT, c=LIST), thing(a=COUNT, b={**COUNT, "minimum": 0}, d=TEXT))
    assert {change.kind for change in found} >= {"type", "bound", "property-removed", "required-added"}


def test_a_rename_is_told_from_going_and_coming() -> None:
    (renamed, *_) = breaking(thing(a=TEXT, b=COUNT), thing(a=TEXT, c=COUNT))
    assert renamed.kind == "property-renamed" and "c came" in renamed.reason
    assert "property-removed" in {change.kind for change in breaking(thing(b=COUNT), thing(c=TEXT))}


def tree(leaf: dict[str, Any]) -> dict[str, Any]:
    node = thing(value=leaf, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})
    return {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}


def test_recursive_schemas_end() -> None:
    assert changes(tree(TEXT), tree(TEXT)) == []
    assert "/properties/value/type" in {change.pointer for change in breaking(tree(TEXT), tree(COUNT))}


def test_references_that_lead_nowhere_are_errors() -> None:
    with pytest.raises(ValueError, match="outside"):
        changes({"$ref": "other.json"}, {})
    with pytest.raises(ValueError, match="refers to itself"):
        changes({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, {})
    recursive = {"not": {"$ref": "#/$defs/A"}, "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}}
    with pytest.raises(ValueError, match="recurses"):
        changes(recursive, recursive)


def test_a_finding_reads_well() -> None:
    assert str(Change("", "type", "why")) == "/: why"
    assert str(breaking(thing(a=COUNT), thing(a={**COUNT, "maximum": 8}))[0]) == (
        "/properties/a/maximum: maximum changed from 9 to 8: new code could not read what old writers send"
    )
