"""What a check found: nothing, or every difference with what it means for whoever relies on the books."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from crossdock_chassis import Kind, Violation

SHOWN = 10
"""Of each check at most so many differences are printed; all are counted."""


@dataclass(slots=True)
class Findings:
    """What the checks add to."""

    by_check: dict[Violation, list[str]] = field(default_factory=dict)

    def add(self, check: Violation, what: str) -> None:
        self.by_check.setdefault(check, []).append(what)

    def extend(self, check: Violation, found: Iterable[str]) -> None:
        for what in found:
            self.add(check, what)


@dataclass(frozen=True, slots=True)
class Report:
    """`unsettled`: why the stack did not come to rest in time; then only what each database says by itself was checked.

    `str(report)` is one line when all is well, else that line and every difference, bounded.
    """

    by_check: dict[Violation, list[str]]
    unsettled: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.by_check and not self.unsettled

    @property
    def counts(self) -> Counter[Kind]:
        counts: Counter[Kind] = Counter()
        for check, found in self.by_check.items():
            counts[check.kind] += len(found)
        return counts

    @property
    def checks(self) -> set[Violation]:
        return set(self.by_check)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        counts = self.counts
        ledger = f"ledger ≠ levels at {counts['ledger']}" if counts["ledger"] else "ledger = levels"
        parts = [*(f"{counts[kind]} {kind}" for kind in ("lost", "oversold", "duplicated")), ledger]
        if counts["other"]:
            parts.append(f"{counts['other']} more that do not add up")
        if self.unsettled:
            parts.append("not settled")
        yield f"verify: {' · '.join(parts)}"
        for reason in self.unsettled:
            yield f"  not settled: {reason}"
        if self.unsettled:
            yield "  so only what each database says by itself was checked"
        for check, found in sorted(self.by_check.items(), key=lambda each: (each[0].invariant, each[0].title)):
            yield f"  invariant {check.invariant}: {check.title}: {len(found)}"
            for what in found[:SHOWN]:
                yield f"    {what}"
            if len(found) > SHOWN:
                yield f"    and {len(found) - SHOWN} more"
