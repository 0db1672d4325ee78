"""The classifier against a validator: what it lets pass, each side's values must pass; where one side refuses a value,
something must have been found. Values are such as producers write: no properties but those their schema names."""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from crossdock_events.compatibility import BACKWARD, FORWARD, breaking

NAMES = ("alpha", "beta", "gamma", "delta")
WORDS = ("red", "green", "blue", "grey")
Schema = dict[str, Any]

integers = st.builds(
    lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span}, st.integers(-3, 3), st.integers(0, 5)
)
texts = st.builds(
    lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span},
    st.integers(0, 2),
    st.integers(0, 4),
)
open_enums = st.lists(st.sampled_from(WORDS), min_size=1, unique=True).map(
    lambda words: {"type": "string", "pattern": "^[a-z]{1,8}$", "x-open-enum": words}
)
closed_enums = st.lists(st.sampled_from(WORDS), min_size=1, unique=True).map(lambda words: {"enum": words})
leaves = integers | texts | open_enums | closed_enums | st.builds(lambda: {"type": "boolean"})


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    properties = draw(st.dictionaries(st.sampled_from(NAMES), inner, max_size=3))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    return {"type": "object", "properties": properties, "required": required}


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    low = draw(st.integers(0, 2))
    return {"type": "array", "items": draw(inner), "minItems": low, "maxItems": low + draw(st.integers(0, 2))}


schemas: st.SearchStrategy[Schema] = st.recursive(
    leaves,
    lambda inner: objects(inner) | arrays(inner) | st.lists(inner, min_size=1, max_size=3).map(lambda a: {"anyOf": a}),
    max_leaves=6,
)


def values(schema: Schema, root: Schema | None = None) -> st.SearchStrategy[Any]:
    """What a producer of this schema may write."""
    root = schema if root is None else root
    if "$ref" in schema:
        return values(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "allOf" in schema:
        return values(schema["allOf"][0], root)
    if "anyOf" in schema:
        return st.one_of([values(each, root) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "x-open-enum" in schema:
        return st.sampled_from(schema["x-open-enum"])
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    if kind == "string":
        return st.text("abc", min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 20))
    if kind == "array":
        low, high = schema.get("minItems", 0), schema.get("maxItems", 3)
        return st.lists(values(schema["items"], root), min_size=low, max_size=high)
    if kind == "object":
        parts = {name: values(each, root) for name, each in schema["properties"].items()}
        required = {name: part for name, part in parts.items() if name in schema["required"]}
        optional = {name: part for name, part in parts.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    return st.booleans()


def places(schema: Schema) -> list[Schema]:
    """Every subschema, itself included; editing one in place edits the whole."""
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *schema.get("allOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    return [schema, *(place for each in inner for place in places(each))]


def add_property(data: st.DataObject, root: Schema, place: Schema) -> None:
    if free := [name for name in NAMES if name not in place.get("properties", NAMES)]:
        place["properties"] = {data.draw(st.sampled_from(free)): data.draw(schemas), **place["properties"]}


def grow_open_enum(data: st.DataObject, root: Schema, place: Schema) -> None:
    if "x-open-enum" in place:
        more = data.draw(st.lists(st.sampled_from(WORDS), unique=True))
        place["x-open-enum"] = data.draw(st.permutations(sorted({*place["x-open-enum"], *more})))


def rewrite_prose(data: st.DataObject, root: Schema, place: Schema) -> None:
    place["description"], place["title"] = data.draw(st.sampled_from(WORDS)), "T"


def reorder(data: st.DataObject, root: Schema, place: Schema) -> None:
    for keyword in ("anyOf", "enum", "required"):
        if keyword in place:
            place[keyword] = data.draw(st.permutations(place[keyword]))


def move_to_definition(data: st.DataObject, root: Schema, place: Schema) -> None:
    if place is root or "$ref" in place:
        return
    name = f"D{len(root.setdefault('$defs', {}))}"
    root["$defs"][name] = dict(place)
    place.clear()
    place["$ref"] = f"#/$defs/{name}"


def wrap(data: st.DataObject, root: Schema, place: Schema) -> None:
    if place is not root and "$ref" not in place:
        inner = dict(place)
        place.clear()
        place["allOf"] = [inner]


def widen_or_narrow(data: st.DataObject, root: Schema, place: Schema) -> None:
    for keyword in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"):
        if keyword in place and data.draw(st.booleans()):
            place[keyword] = max(0, place[keyword] + data.draw(st.integers(-1, 1)))


def toggle_required(data: st.DataObject, root: Schema, place: Schema) -> None:
    if place.get("properties"):
        name = data.draw(st.sampled_from(sorted(place["properties"])))
        place["required"] = sorted({*place["required"]} ^ {name})


def drop_property(data: st.DataObject, root: Schema, place: Schema) -> None:
    if place.get("properties"):
        name = data.draw(st.sampled_from(sorted(place["properties"])))
        place["properties"] = {key: each for key, each in place["properties"].items() if key != name}
        place["required"] = [each for each in place["required"] if each != name]


def change_closed_enum(data: st.DataObject, root: Schema, place: Schema) -> None:
    if "enum" in place:
        place["enum"] = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, unique=True))


def replace_wholly(data: st.DataObject, root: Schema, place: Schema) -> None:
    definitions = place.get("$defs")
    place.clear()
    place.update(data.draw(schemas))
    if definitions is not None:
        place["$defs"] = definitions


Edit = Callable[[st.DataObject, Schema, Schema], None]
COMPATIBLE: list[Edit] = [add_property, grow_open_enum, rewrite_prose, reorder, move_to_definition, wrap]
OTHERS: list[Edit] = [widen_or_narrow, toggle_required, drop_property, change_closed_enum, replace_wholly]


def edited(data: st.DataObject, old: Schema, edits: list[Edit]) -> Schema:
    new = copy.deepcopy(old)
    for edit in data.draw(st.lists(st.sampled_from(edits), min_size=1, max_size=4)):
        edit(data, new, data.draw(st.sampled_from(places(new))))
    return new


@settings(max_examples=200)
@given(old=objects(schemas), data=st.data())
def test_values_pass_both_schemas_of_a_compatible_edit(old: Schema, data: st.DataObject) -> None:
    new = edited(data, old, COMPATIBLE)
    assert breaking(old, new) == []
    Draft202012Validator(new).validate(data.draw(values(old)))
    Draft202012Validator(old).validate(data.draw(values(new)))


@settings(max_examples=400)
@given(old=objects(schemas), data=st.data())
def test_a_value_that_one_side_refuses_was_reported(old: Schema, data: st.DataObject) -> None:
    new = copy.deepcopy(old)
    place = data.draw(st.sampled_from(places(new)))
    for edit in data.draw(st.permutations(OTHERS)):  # the first that finds something to do: one break can hide another
        edit(data, new, place)
        if new != old:
            break
    new = sane(edited(data, new, COMPATIBLE))
    for directions, writer, reader in ((BACKWARD, old, new), (FORWARD, new, old)):
        found = breaking(old, new, directions)
        assert breaking(old, new) or not found
        validator = Draft202012Validator(reader)
        for value in data.draw(st.lists(values(writer), min_size=2, max_size=2)):
            assert found or validator.is_valid(value)


def sane(schema: Schema) -> Schema:
    """Bounds that crossed while they were moved are put in order, or nothing could be written."""
    for place in [*places(schema), *(p for each in schema.get("$defs", {}).values() for p in places(each))]:
        for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
            if low in place:
                place[high] = max(place[low], place[high])
    return schema
