"""Distinguish a fault of our own from poison: if key after key fails for one reason, the group stops and retries.

Poison fails by itself. If many keys fail at the same line, a column is missing or a deployment is wrong. Setting every
event aside would only move the work to a person.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Final

KEYS: Final = 10
"""Failures for one reason that open the breaker. A fault of our own sets fewer keys than this aside."""

WINDOW: Final = 40
"""Failures are counted among the last events of one type, this many of them."""


class SystemFault(Exception):
    """Key after key failed for one reason. Nothing of the batch is kept, and it is tried again later."""

    def __init__(self, group: str, failure: "Failure") -> None:
        super().__init__(f"{group} stops: key after key fails for one reason, {failure.reason} at {failure.line}")
        self.failure = failure


class Failure:
    """Why a reaction failed, with a fingerprint by event type, exception class and the line of ours that raised."""

    def __init__(self, ce_type: str, error: Exception, packages: Collection[str]) -> None:
        self.ce_type, self.line = ce_type, own_line(error.__traceback__, packages)
        self.reason = reason_of(error)
        self.fingerprint = fingerprint(ce_type, type(error).__qualname__, self.line)


def reason_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


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
    """The outcomes of the last events of each type. Once open, the first failure for the same reason is refused too."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[str | None]] = {}
        self.open: Failure | None = None

    def refuses(self, failure: Failure) -> bool:
        """Count a failure. Return whether it must stop the group and not be set aside."""
        if self.open is not None and self.open.fingerprint == failure.fingerprint:
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

    def close(self) -> None:
        """Forget the failure after a batch that the breaker did not refuse."""
        if self.open is not None:
            self._recent.pop(self.open.ce_type, None)
            self.open = None
