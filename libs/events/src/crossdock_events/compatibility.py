"""Compare two JSON Schemas and report incompatible changes. Pure: schemas in, findings out.

Events need FULL: code for either schema reads the messages of the other schema's producers. So a constraint may not
tighten, because new code could not read old messages in the log. It may not loosen either, because readers of the old
schema would refuse new messages. New optional properties, new values of an open enum and changes of prose are allowed.

HTTP needs one direction: BACKWARD for requests, FORWARD for responses. If a keyword without a rule changes, the change
counts as breaking in every direction, because a check that guesses is useless.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

Schema: TypeAlias = Mapping[str, Any] | bool
Kind = Literal[
    "property-added",
    "property-barred",
    "property-removed",
    "property-renamed",
    "required-added",
    "required-removed",
    "type",
    "format",
    "pattern",
    "bound",
    "closed-enum",
    "open-enum-grown",
    "open-enum-shrunk",
    "open-enum-mark",
    "alternative",
    "default",
    "promise",
    "keyword",
]
Direction = Literal["backward", "forward", "closed"]
"""Backward: new code reads messages of old writers. Forward: old code reads messages of new writers and ignores unknown
properties. Closed: like forward, for old code that refuses properties which its schema forbids."""

BACKWARD: frozenset[Direction] = frozenset({"backward"})
FORWARD: frozenset[Direction] = frozenset({"forward"})
FULL: frozenset[Direction] = frozenset({"backward", "forward", "closed"})

_PROSE = frozenset(
    {"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "deprecated", "x-stability"}
)
_LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"}
_SUBSCHEMA = ("items", "additionalProperties")
_ALTERNATIVES = ("anyOf", "oneOf")
_ANNOTATIONS = _PROSE | {"default"}
_NONE: frozenset[Direction] = frozenset()
_CLOSED: frozenset[Direction] = frozenset({"closed"})
_UNREAD = "new code could not read what old writers send"
_LOST = "readers of the old schema look for it, and its writers send it"
_REFUSED = "readers of the old schema would refuse what new code writes"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference. `pointer` is a JSON pointer into the old schema if something was removed, else into the new one.

    The pointer follows each `$ref` as if the definition were in its place.
    """

    pointer: str
    kind: Kind
    reason: str
    breaks: frozenset[Direction] = FULL

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.reason}"


def changes(old: Schema, new: Schema) -> list[Change]:
    """Return all differences except prose. An empty list means the same shape."""
    return list(_Comparison(old, new, FULL).schemas("", old, new))


def breaking(
    old: Schema,
    new: Schema,
    directions: frozenset[Direction] = FULL,
    documents: tuple[Schema, Schema] | None = None,
) -> list[Change]:
    """Return the changes that break one of the directions.

    `documents` are the roots for the `$ref`s of the old and the new schema, if the schemas are not roots themselves.
    """
    comparison = _Comparison(*(documents or (old, new)), directions)
    return [change for change in comparison.schemas("", old, new) if change.breaks & directions]


class _Comparison:
    def __init__(self, old: Schema, new: Schema, directions: frozenset[Direction]) -> None:
        self._old, self._new, self._directions = old, new, directions
        self._open: set[tuple[int, int]] = set()  # pairs under comparison: a recursive schema reaches itself

    def schemas(self, at: str, old: Schema, new: Schema) -> Iterator[Change]:
        pair = (id(target(self._old, old)), id(target(self._new, new)))
        if pair in self._open:
            return
        self._open.add(pair)
        try:
            yield from self._flat(at, _flatten(self._old, old), _flatten(self._new, new))
        finally:
            self._open.discard(pair)

    def _flat(self, at: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        for keyword in _ALTERNATIVES:
            old, new = _one_of_one(keyword, old, new), _one_of_one(keyword, new, old)
        before, after = _types(old), _types(new)
        if before and after:
            yield from _sets(f"{at}/type", "type", "type", before, after)
        elif before or after:
            yield _tighter_or_looser(f"{at}/type", "type", f"type {'came' if after else 'went'}", bool(after))
        understood = _PROSE | {"type", *_ALTERNATIVES, *_SUBSCHEMA}
        for keywords, compare in _RULES:
            understood |= keywords
            for keyword in sorted(keywords & (old.keys() | new.keys())):
                yield from compare(f"{at}/{keyword}", old.get(keyword), new.get(keyword))
        yield from self._properties(at, old, new)
        understood |= {"properties", "required", "patternProperties", "prefixItems"}
        for keyword in _SUBSCHEMA:
            if keyword in old or keyword in new:
                yield from self._subschema(f"{at}/{keyword}", keyword, old, new)
        yield from self._patterns(f"{at}/patternProperties", old, new)
        yield from self._prefix(f"{at}/prefixItems", old.get("prefixItems", []), new.get("prefixItems", []))
        for keyword in _ALTERNATIVES:
            if keyword in old or keyword in new:
                yield from self._alternatives(f"{at}/{keyword}", keyword, old[keyword], new[keyword])
        for keyword in sorted((old.keys() | new.keys()) - understood):
            if inlined(self._old, old.get(keyword, ...)) != inlined(self._new, new.get(keyword, ...)):
                yield Change(f"{at}/{_escape(keyword)}", "keyword", f"{keyword} changed, and no rule here knows it")

    def _properties(self, at: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", [])), set(new.get("required", []))
        added = [name for name in after if name not in before]
        renamed = dict(self._renames(before, after, added))
        for name in before:
            here = f"{at}/properties/{_escape(name)}"
            if name in after:
                yield from self.schemas(here, before[name], after[name])
            elif name in renamed:
                yield Change(here, "property-renamed", f"{name} went and {renamed[name]} came: {_LOST}")
            else:
                yield Change(here, "property-removed", f"{name} went: {_LOST}")
        for name in added:
            here = f"{at}/properties/{_escape(name)}"
            if barred := _barred(old, name):
                yield Change(here, "property-barred", f"{name} came, and the old schema is closed: {_REFUSED}", barred)
            else:
                yield Change(here, "property-added", f"{name} came", _NONE)
        for name in sorted(needs - needed):
            yield _tighter_or_looser(f"{at}/required", "required-added", f"{name} must be there now", True)
        for name in sorted(needed - needs):
            yield _tighter_or_looser(f"{at}/required", "required-removed", f"{name} may be missing now", False)

    def _renames(
        self, before: Mapping[str, Any], after: Mapping[str, Any], added: list[str]
    ) -> Iterator[tuple[str, str]]:
        free = list(added)
        for name in before:
            if name not in after:
                twin = next((each for each in free if not any(self.schemas("", before[name], after[each]))), None)
                if twin is not None:
                    free.remove(twin)
                    yield name, twin

    def _subschema(self, at: str, keyword: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        before, after = old.get(keyword, True), new.get(keyword, True)
        if isinstance(before, bool) or isinstance(after, bool):
            if _flatten(self._old, before) != _flatten(self._new, after):
                what = f"{keyword} changed from {_show(before)} to {_show(after)}"
                yield Change(at, "keyword", what, _directions_of_rest(keyword, before, after))
        else:
            yield from self.schemas(at, before, after)

    def _patterns(self, at: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
        before, after = old.get("patternProperties", {}), new.get("patternProperties", {})
        for name in sorted(before.keys() | after.keys()):
            here = f"{at}/{_escape(name)}"
            if name in before and name in after:
                yield from self.schemas(here, before[name], after[name])
            else:
                yield Change(here, "keyword", f"{name} {'came' if name in after else 'went'}")

    def _prefix(self, at: str, old: list[Schema], new: list[Schema]) -> Iterator[Change]:
        if len(old) != len(new):
            yield Change(at, "bound", f"the places of the tuple changed from {len(old)} to {len(new)}")
        for place, (before, after) in enumerate(zip(old, new, strict=False)):
            yield from self.schemas(f"{at}/{place}", before, after)

    def _alternatives(self, at: str, keyword: str, old: list[Schema], new: list[Schema]) -> Iterator[Change]:
        """Compare alternatives. For `oneOf`, a breaking change counts in every direction.

        Alternatives of `oneOf` exclude each other. If one alternative newly allows a value that another alternative
        allows too, `oneOf` refuses the value.
        """
        for change in self._matched(at, old, new):
            yield replace(change, breaks=FULL) if keyword == "oneOf" and change.breaks else change

    def _matched(self, at: str, old: list[Schema], new: list[Schema]) -> Iterator[Change]:
        """Match each old alternative with a new one that breaks nothing, in any order.

        Pairs that break in no direction are matched first. Otherwise a loosened alternative could take the place of an
        unchanged one.
        """
        unmatched, left = list(enumerate(old)), list(enumerate(new))
        for directions in (FULL, self._directions):
            for before in list(unmatched):
                after = next((each for each in left if not self._breaks(before[1], each[1], directions)), None)
                if after is not None:
                    unmatched.remove(before)
                    left.remove(after)
                    yield from self.schemas(f"{at}/{after[0]}", before[1], after[1])
        if len(unmatched) == len(left) == 1:  # one alternative changed: report the change inside it
            yield from self.schemas(f"{at}/{left[0][0]}", unmatched[0][1], left[0][1])
            return
        for place, _ in unmatched:
            yield _tighter_or_looser(f"{at}/{place}", "alternative", "an alternative went", True)
        for place, _ in left:
            yield _tighter_or_looser(f"{at}/{place}", "alternative", "an alternative came", False)

    def _breaks(self, old: Schema, new: Schema, directions: frozenset[Direction]) -> bool:
        return any(change.breaks & directions for change in self.schemas("", old, new))


def _bound(at: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    keyword = at.rpartition("/")[2]
    tighter = old is None or (new is not None and (new > old if keyword in _LOWER else new < old))
    yield _tighter_or_looser(at, "bound", f"{keyword} {_from_to(old, new)}", tighter)


def _closed_enum(at: str, old: Any, new: Any) -> Iterator[Change]:
    if old is None or new is None:
        if old != new:
            closed = old is None
            yield _tighter_or_looser(at, "closed-enum", f"the enum {'closed' if closed else 'opened'}", closed)
        return
    yield from _sets(at, "closed-enum", "value", {_show(v) for v in old}, {_show(v) for v in new})


def _open_enum(at: str, old: Any, new: Any) -> Iterator[Change]:
    if (old is None) != (new is None):
        yield Change(at, "open-enum-mark", "the mark of an open enum " + ("came" if old is None else "went"))
        return
    for value in new:
        if value not in old:
            yield Change(at, "open-enum-grown", f"{_show(value)} came", _NONE)
    for value in old:
        if value not in new:
            yield Change(at, "open-enum-shrunk", f"{_show(value)} went: old writers send it, so it stays known")


def _equal(kind: Kind, why: str, *, constrains: bool = True) -> Callable[[str, Any, Any], Iterator[Change]]:
    def compare(at: str, old: Any, new: Any) -> Iterator[Change]:
        if old != new:
            what = f"{at.rpartition('/')[2]} {_from_to(old, new)}"
            if constrains and (old is None or new is None):
                yield _tighter_or_looser(at, kind, what, old is None)
            else:
                yield Change(at, kind, f"{what}: {why}")

    return compare


_RULES: tuple[tuple[frozenset[str], Callable[[str, Any, Any], Iterator[Change]]], ...] = (
    (frozenset(_LOWER | _UPPER), _bound),
    (frozenset({"multipleOf", "uniqueItems"}), _equal("bound", "one side refuses what the other writes")),
    (frozenset({"format"}), _equal("format", "one side refuses what the other writes")),
    (frozenset({"pattern"}), _equal("pattern", "whether one pattern contains the other is not decidable here")),
    (frozenset({"enum"}), _closed_enum),
    (frozenset({"x-open-enum"}), _open_enum),
    (frozenset({"default"}), _equal("default", "without the property it would mean something else", constrains=False)),
    (frozenset({"x-topic", "x-key", "x-carries"}), _equal("promise", "consumers are built on it", constrains=False)),
)


def _sets(at: str, kind: Kind, noun: str, old: set[str], new: set[str]) -> Iterator[Change]:
    for value in sorted(old - new):
        yield _tighter_or_looser(at, kind, f"{noun} {value} went", True)
    for value in sorted(new - old):
        yield _tighter_or_looser(at, kind, f"{noun} {value} came", False)


def _tighter_or_looser(at: str, kind: Kind, what: str, tighter: bool) -> Change:
    return Change(at, kind, f"{what}: {_UNREAD if tighter else _REFUSED}", BACKWARD if tighter else FORWARD)


def target(root: Schema, schema: Schema) -> Schema:
    """Follow a `$ref` that has no other constraints beside it, repeatedly."""
    seen: list[str] = []
    while isinstance(schema, Mapping) and "$ref" in schema and not (schema.keys() - _PROSE - {"$ref"}):
        if schema["$ref"] in seen:
            raise ValueError(f"{schema['$ref']} refers to itself")
        seen.append(schema["$ref"])
        schema = _resolve(root, schema["$ref"])
    return schema


def _flatten(root: Schema, schema: Schema) -> Mapping[str, Any]:
    """Return one mapping of constraints, with `$ref`, disjoint `allOf`, `const` and booleans resolved."""
    schema = target(root, schema)
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "const")}
    parts = [_resolve(root, schema["$ref"])] if "$ref" in schema else []
    parts += schema.get("allOf", [])
    for part in parts:
        for key, value in _flatten(root, part).items():
            if key in _PROSE:
                continue
            if flat.setdefault(key, value) != value:
                # several constraints on one keyword are compared unchanged
                flat.setdefault(f"allOf:{key}", []).append(value)
    if "const" in schema:
        flat["enum"] = [schema["const"]]
    return flat


def _resolve(root: Schema, reference: str) -> Schema:
    if not reference.startswith("#"):
        raise ValueError(f"{reference} points outside the document")
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    schema: Schema = found
    return schema


def _types(schema: Mapping[str, Any]) -> set[str]:
    stated = schema.get("type")
    if stated is None:
        return set()
    return {stated} if isinstance(stated, str) else set(stated)


def _one_of_one(keyword: str, schema: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Treat a plain schema as a single alternative if the other schema has alternatives.

    Example: "a text" against "a text or null". Otherwise all alternatives would seem to be added or removed.
    """
    if keyword in schema or keyword not in other:
        return schema
    around = {key: value for key, value in schema.items() if key in _ANNOTATIONS}
    return {**around, keyword: [{key: value for key, value in schema.items() if key not in _ANNOTATIONS}]}


def _barred(schema: Mapping[str, Any], name: str) -> frozenset[Direction]:
    """Return the directions that break if a property of this name is added."""
    if any(re.search(pattern, name) for pattern in schema.get("patternProperties", {})):
        return FULL
    rest = schema.get("additionalProperties", True)
    if rest is False:
        return _CLOSED
    return _NONE if rest in (True, {}) else FULL


def _directions_of_rest(keyword: str, old: Schema, new: Schema) -> frozenset[Direction]:
    """Return the directions that break if one of the schemas is a boolean: `true` allows all, `false` nothing."""
    if old is False and keyword == "additionalProperties":
        return _CLOSED
    if old is False or new is True:
        return FORWARD
    return BACKWARD if old is True else FULL


def inlined(root: Schema, value: Any, within: tuple[str, ...] = ()) -> Any:
    """Replace each `$ref` by its definition.

    Otherwise a definition behind a `$ref` could change unnoticed under a keyword that no rule knows.
    """
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str):
            if reference in within:
                raise ValueError(f"{reference} recurses under a keyword that no rule knows")
            rest = {key: each for key, each in value.items() if key != "$ref"}
            return [inlined(root, rest, within), inlined(root, _resolve(root, reference), (*within, reference))]
        return {key: inlined(root, each, within) for key, each in value.items()}
    if isinstance(value, list):
        return [inlined(root, each, within) for each in value]
    return value


def _from_to(old: Any, new: Any) -> str:
    if old is None:
        return f"{_show(new)} came"
    if new is None:
        return f"{_show(old)} went"
    return f"changed from {_show(old)} to {_show(new)}"


def _show(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
