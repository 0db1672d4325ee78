"""The content of a request body: when two bodies are the same.

Two bodies have the same content if they agree in every member, by these rules:

- A number counts by its value. The model of the body gives each value one form: `1.5` and `1.50` of a price are one.
- Members of an object may have any sequence.
- Objects in an array may have any sequence. If their places had a meaning, the objects would have to be numbered.
- A member that is null, `""`, `[]` or `{}` is the same as an absent member.

A PATCH, in which null removes a value and an absent member keeps it, must not be compared by these rules.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from crossdock_chassis.problems import pointer


@dataclass(frozen=True, slots=True)
class Content:
    """A validated body. Equal bodies have equal fingerprints.

    `document` is the body as JSON, without nulls, in the sequences in which it was sent.
    """

    document: bytes
    fingerprint: bytes

    @classmethod
    def of(cls, body: BaseModel) -> "Content":
        serializer = body.__pydantic_serializer__
        fingerprint = fingerprint_of(serializer.to_python(body, mode="json", exclude_none=True))
        return cls(serializer.to_json(body, exclude_none=True), fingerprint)

    def difference(self, before: bytes | str) -> str | None:
        """Return the JSON pointer of the first member that differs from an earlier document, None if none does.

        The members come in the sequence of the model, then the members that only the earlier document has. Objects in
        an array are compared with the object that has the same first member, such as `line_id`.
        """
        place = _difference(from_json(before), from_json(self.document), ())
        return None if place is None else pointer(place)


def fingerprint_of(document: Mapping[str, Any]) -> bytes:
    """Return the fingerprint of the content that has this document, as parsed JSON."""
    return blake2b(to_json(_form(document)), digest_size=16).digest()


def differs(place: str) -> dict[str, str]:
    """Return the entry of a problem's `errors` for a difference."""
    return {"pointer": place, "detail": "the first request has another value here", "code": "differs"}


def _form(value: Any) -> Any:
    """Return the one form of all values that are the same. The form of an empty value is None."""
    kind = type(value)
    if kind is dict:
        form = {}
        for name in sorted(value):
            each = value[name]
            if type(each) is dict or type(each) is list:  # a call for each leaf would double the time
                each = _form(each)
            if each is not None and each != "":
                form[name] = each
        return form or None
    if kind is list:
        forms = [_form(each) if type(each) is dict or type(each) is list else each for each in value]
        if len(forms) > 1 and type(value[0]) is dict:
            forms.sort(key=to_json)
        return forms or None
    return None if value == "" else value


NOTHING: Final = Content(b"{}", fingerprint_of({}))
"""The content of a request without a body, and of an empty one."""

Place: TypeAlias = tuple[str | int, ...]


def _difference(before: Any, now: Any, place: Place) -> Place | None:
    """Return the first place in `now` that differs. The time is proportional to the size of both."""
    if _form(before) == _form(now):
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        names = [*now, *(name for name in before if name not in now)]
        found = (_difference(before.get(name), now.get(name), (*place, name)) for name in names)
        return next((each for each in found if each is not None), None)
    if _are_objects(before) and _are_objects(now):
        return _differing_object(before, now, place)
    return place


def _differing_object(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]], place: Place) -> Place | None:
    old = [(to_json(_form(each)), each) for each in before]
    new = [(to_json(_form(each)), each) for each in now]
    count_old, count_new = Counter(form for form, _ in old), Counter(form for form, _ in new)
    for i, (form, each) in enumerate(new):
        if count_new[form] > count_old[form]:
            name = next(iter(each), "")
            twins = (other for its, other in old if count_old[its] > count_new[its] and other.get(name) == each[name])
            twin = next(twins, None)
            return (*place, i) if twin is None else _difference(twin, each, (*place, i))
    return place


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
