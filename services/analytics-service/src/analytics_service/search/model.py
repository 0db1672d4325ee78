"""Decide what a search looks for, and where each result is shown. Any text may be typed, so nothing here raises."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote
from uuid import UUID

Kind = Literal["order", "item", "partner", "event", "correlation", "trace"]
By = Literal["id", "reference"]

SHORTEST: Final = 2
LONGEST: Final = 100
UUID_DIGITS: Final = 32

_HEXADECIMAL: Final = re.compile(r"[0-9a-f-]+")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search looks for: texts that begin with one of `texts`, and ids from `first` to `last`."""

    texts: Sequence[str]
    ids: tuple[UUID, UUID] | None

    def whole(self, found: str) -> bool:
        """Return whether a found id or reference is all that was typed, not only begins with it."""
        return found in self.texts or (
            self.ids is not None and self.ids[0] == self.ids[1] and found == str(self.ids[0])
        )


def wanted(text: str) -> Wanted:
    """Return what to look for. Text is compared as typed, and in upper and in lower case.

    The beginning of an id has hexadecimal digits alone, or has them in the groups of a UUID. In a whole `traceparent`
    the id is its trace.
    """
    texts = list(dict.fromkeys((text, text.upper(), text.lower())))
    return Wanted([each for each in texts if len(each) <= LONGEST], _ids(text.lower()))


def _ids(text: str) -> tuple[UUID, UUID] | None:
    parent = _TRACEPARENT.fullmatch(text)
    if parent is not None:
        return UUID(parent[1]), UUID(parent[1])
    digits = text.replace("-", "")
    if not _HEXADECIMAL.fullmatch(text) or not SHORTEST <= len(digits) <= UUID_DIGITS:
        return None
    first = UUID(digits.ljust(UUID_DIGITS, "0"))
    if text != digits and not str(first).startswith(text):
        return None
    return first, UUID(digits.ljust(UUID_DIGITS, "f"))


def link(kind: Kind, id: str) -> str:
    """Return the path of the console's page that shows a result."""
    name = quote(id, safe="")
    match kind:
        case "order":
            return f"/orders/{name}"
        case "item":
            return f"/stock/{name}"
        case "partner":
            return f"/orders?partner={name}"
        case "event":
            return f"/live?event={name}"
        case "correlation":
            return f"/live?correlation_id={name}&from=30d"
        case "trace":
            return f"/live?trace_id={name}&from=30d"
