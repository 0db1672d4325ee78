"""Print the rows of two results side by side, with their ratio, and whether the runs of both overlap."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.results import shown
from bench.statistics import middle


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of both results. `beyond`: no run of one is within the runs of the other; None with a single run."""

    name: str
    unit: str
    old: float
    new: float
    better: bool
    beyond: bool | None

    @property
    def ratio(self) -> float:
        return self.new / self.old if self.old else float("nan")

    @property
    def verdict(self) -> str:
        if self.beyond is None:
            return "one run"
        if not self.beyond:
            return "within the spread"
        return "[green]better[/]" if self.better else "[red]worse[/]"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare the rows that both documents have, in the order of the old one."""
    rows = {row["name"]: row for row in new["rows"]}
    for before in old["rows"]:
        if (after := rows.get(before["name"])) and before["unit"] == after["unit"]:
            was, now = before["runs"], after["runs"]
            apart = max(was) < min(now) or max(now) < min(was)
            better = (middle(now) > middle(was)) == (after["better"] == "more")
            beyond = apart if len(was) > 1 and len(now) > 1 else None
            yield Difference(before["name"], before["unit"], middle(was), middle(now), better, beyond)


def compare(console: Console, old: Path, new: Path) -> None:
    """Print the comparison, and the rows that only one result has."""
    documents = [json.loads(file.read_text()) for file in (old, new)]
    table = Table(title="Crossdock bench, compared", title_justify="left")
    for name in ("", "old", "new", "new ÷ old", ""):
        table.add_column(name, justify="left" if not name else "right")
    found = list(differences(*documents))
    for each in found:
        values = [f"{shown(value)} {each.unit}" for value in (each.old, each.new)]
        table.add_row(each.name, *values, f"{each.ratio:.2f}", each.verdict)
    console.print(table)
    for file, document in zip((old, new), documents, strict=True):
        alone = [row["name"] for row in document["rows"] if row["name"] not in {each.name for each in found}]
        if alone:
            console.print(f"Only in {file}: {'; '.join(alone)}", highlight=False)
        machine, load = document["machine"], document["load_average"]
        console.print(
            f"{file}: {document['at']}, {machine['cores']} cores, load average {load['before']:.1f} before and "
            f"{load['after']:.1f} after.",
            highlight=False,
        )
