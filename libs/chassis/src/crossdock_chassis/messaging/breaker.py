"""Distinguish a fault of our own from poison: if key after key fails for one reason, the group stops and retries.

Poison fails by itself. If many keys fail at the same line, a column is missing or a deployment is wrong. Setting every
event aside would only move the work to a person.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Final

from crossdock_chassis.observability.logging import message_of

KEYS: Final = 10
"""Failures for one reason that open the breaker. A fault of our own sets fewer keys than this aside."""

WINDOW: Final = 40
"""Failures are counted among the last events of one type, this many of them."""


class SystemFault(Exception):
    """Key after key failed for one reason. Nothing of the batch is kept, and it is tried again later."""

    def __init__(self, group: str, failure: "Failure") -> None:
        super().__init__(f"{group} stops: key after key fails for one reason, {failure.reason} at {failure.line}")
        self.failure = failure


class Unmatched(Exception):
    """A reaction raises it for an event about something that is not in its database, such as an order.

    Any client of Kafka can write such events, and there are many after a database was restored from an older backup.
    Each becomes a dead letter, however many there are: they never open the breaker.
    """


class Failure:
    """Why a reaction failed, with a fingerprint by event type, exception class and the line of ours that raised."""

    def __init__(self, ce_type: str, error: Exception, packages: Collection[str]) -> None:
        self.ce_type, self.line = ce_type, own_line(error.__traceback__, packages)
        self.reason, self.unmatched = reason_of(error), isinstance(error, Unmatched)
        self.fingerprint = fingerprint(ce_type, type(error).__qualname__, self.line)


def reason_of(error: Exception) -> str:
    """Return type and message of an error, without values of rows: dead letters and stops show it to operators."""
    return f"{type(error).__name__}: {message_of(error)}"[:2000]


def fingerprint(*parts: str) -> str:
    """Return an id of a kind of failure, so that a thousand dead letters with one cause can be grouped."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def own_line(traceback: TracebackType | None, packages: Collection[str]) -> str:
    """Return the innermost line of these packages, like `order_service.orders.answer:42`, or "" without one."""
    found = ""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in packages:
            found = f"{module}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


class Breaker:
    """The outcomes of the last events of each type. Once open, the first failure for the same reason is refused too.

    `expected` has the failures for which the group has stopped before, also in another process, with their types.
    `tolerated` has those that a person has decided to set aside.
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[str | None]] = {}
        self.open: Failure | None = None
        self.expected: Mapping[str, str] = {}
        self.tolerated: Collection[str] = frozenset()

    @property
    def waits(self) -> bool:
        return self.open is not None or bool(self.expected)

    def refuses(self, failure: Failure) -> bool:
        """Count a failure. Return whether it must stop the group and not be set aside."""
        if failure.unmatched or failure.fingerprint in self.tolerated:
            return False
        if failure.fingerprint in self.expected or (self.open and self.open.fingerprint == failure.fingerprint):
            self.open = failure
            return True
        recent = self._recent.setdefault(failure.ce_type, deque(maxlen=WINDOW))
        recent.append(failure.fingerprint)
        if Counter(recent)[failure.fingerprint] < KEYS:
            return False
        self.open = failure
        return True

    def handled(self, ce_types: Iterable[str]) -> None:
        """Count events that did not fail."""
        if self._recent:
            for ce_type in ce_types:
                if ce_type in self._recent:
                    self._recent[ce_type].append(None)

    def close(self, ce_types: Collection[str]) -> None:
        """Forget the failures of types whose events were handled, in a batch that the breaker did not refuse."""
        self.expected = {failure: ce_type for failure, ce_type in self.expected.items() if ce_type not in ce_types}
        if self.open is not None and self.open.ce_type in ce_types:
            self._forget()

    def learn(self, *, expected: Mapping[str, str], tolerated: Collection[str]) -> None:
        """Take over the stored stops of the group, and the decisions of people about them."""
        self.expected, self.tolerated = expected, tolerated
        if self.open is not None and self.open.fingerprint in tolerated:
            self._forget()

    def release(self) -> None:
        """Stop to wait, because another member may get the event that failed. The same failure is still refused."""
        if self.open is not None:
            self.expected = {**self.expected, self.open.fingerprint: self.open.ce_type}
            self._forget()

    def _forget(self) -> None:
        if self.open is not None:
            self._recent.pop(self.open.ce_type, None)
            self.open = None
