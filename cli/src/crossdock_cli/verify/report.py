"""Report the differences that the checks found, by check and kind."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from crossdock_chassis import Kind, Violation

SHOWN = 10
"""At most so many differences of each check are printed. All are counted."""


@dataclass(slots=True)
class Found:
    """The differences that one check found: how many, and the first SHOWN."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(what)


@dataclass(slots=True)
class Findings:
    """The differences so far, by check."""

    by_check: dict[Violation, Found] = field(default_factory=dict)

    def add(self, check: Violation, what: str) -> None:
        self.by_check.setdefault(check, Found()).add(what)

    def extend(self, check: Violation, found: Iterable[str]) -> None:
        for what in found:
            self.add(check, what)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of all checks.

    `unsettled`: the reasons why the installation did not come to rest in time. Then only the checks within one database
    ran. `str(report)` is one line without differences, or else that line and at most SHOWN differences of each check.
    """

    by_check: Mapping[Violation, Found]
    unsettled: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.by_check and not self.unsettled

    @property
    def counts(self) -> Counter[Kind]:
        counts: Counter[Kind] = Counter()
        for check, found in self.by_check.items():
            counts[check.kind] += found.count
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
            parts.append(f"{counts['other']} other differences")
        if self.unsettled:
            parts.append("not settled")
        yield f"verify: {' · '.join(parts)}"
        for reason in self.unsettled:
            yield f"  not settled: {reason}"
        if self.unsettled:
            yield "  so only the checks within one database ran: wait and verify again"
        for check, found in sorted(self.by_check.items(), key=lambda each: (each[0].invariant, each[0].title)):
            yield f"  invariant {check.invariant}: {check.title}: {found.count}"
            for what in found.shown:
                yield f"    {what}"
            if found.count > SHOWN:
                yield f"    and {found.count - SHOWN} more"
