"""Collect the measured values and their targets, and print them."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any, Literal

import psutil
from rich.console import Console
from rich.table import Table

from bench.statistics import middle, spread

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """`runs`: the value of each repetition; the row's value is their median. `better`: the direction of the target."""

    name: str
    runs: Sequence[float]
    unit: str
    target: float | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""

    @property
    def value(self) -> float:
        return middle(self.runs)

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "more" else self.value <= self.target


@dataclass(slots=True)
class Results:
    """All values of a run.

    By kind of load: microseconds of processor time per order by process (`cpu`), and the transactions and messages of
    each service per order (`counted`). `gathered` are the orders that inventory-service reserves in one transaction.
    """

    machine: dict[str, Any]
    goods: str
    rows: list[Row] = field(default_factory=list)
    cpu: dict[str, dict[str, float]] = field(default_factory=dict)
    counted: dict[str, dict[str, float]] = field(default_factory=dict)
    gathered: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    load_before: float = 0.0
    load_after: float = 0.0
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        rows = [asdict(row) | {"value": row.value, "met": row.met} for row in self.rows]
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": self.machine,
            "goods": self.goods,
            "notes": self.notes,
            "load_average": {"before": self.load_before, "after": self.load_after},
            "seconds": self.seconds,
            "rows": rows,
            "cpu_microseconds_per_order": self.cpu,
            "counted_per_order": self.counted,
            "orders_a_transaction": self.gathered,
        }

    def write(self, file: Path) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.document(), indent=1) + "\n")
        return file

    def show(self, console: Console) -> None:
        console.print(self._rows())
        if self.cpu:
            console.print(self._cpu())
        machine = self.machine
        console.print(
            f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gigabytes']:.0f} GB, "
            f"{machine['system']}, Python {machine['python']}, PostgreSQL {machine['postgres']}, "
            f"Kafka {machine['kafka']}, fsync on. {self.goods}",
            f"Load average {self.load_before:.1f} before, {self.load_after:.1f} after; took {self.seconds:.0f} s.",
            *self.notes,
            sep="\n",
        )

    def _rows(self) -> Table:
        table = Table(title="Crossdock bench", title_justify="left")
        for name in ("", "measured", "to reach", "runs", ""):
            table.add_column(name, justify="left" if not name else "right")
        for row in self.rows:
            mark = {None: "", True: "[green]reached[/]", False: "[red]missed[/]"}[row.met]
            sign = "≥" if row.better == "more" else "≤"
            table.add_row(
                f"{row.name}\n[dim]{row.note}[/]" if row.note else row.name,
                f"{shown(row.value)} {row.unit}",
                "" if row.target is None else f"{sign} {shown(row.target)}",
                f"{len(row.runs)}, ±{spread(row.runs) / 2:.0%}" if len(row.runs) > 1 else "",
                mark,
            )
        return table

    def _cpu(self) -> Table:
        kinds = list(self.cpu)
        table = Table(title="Processor time per order, µs", title_justify="left")
        table.add_column("process", no_wrap=True)
        for kind in kinds:
            table.add_column(kind, justify="right")
        names = dict.fromkeys(name for kind in kinds for name in self.cpu[kind])
        for name in names:
            table.add_row(name, *(f"{self.cpu[kind].get(name, 0):.0f}" for kind in kinds))
        table.add_row("all", *(f"{sum(self.cpu[kind].values()):.0f}" for kind in kinds), style="bold")
        return table


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine(postgres: str, kafka: str) -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": psutil.cpu_count() or 1,
        "memory_gigabytes": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()} (100,000 calls in {seconds_of_calls() * 1e3:.0f} ms)",
        "postgres": postgres,
        "kafka": kafka,
    }


def seconds_of_calls() -> float:
    """Return the least time of 100,000 calls and assignments. Builds of one version differ: some are not optimized."""

    class Counter:
        def add(self, counts: dict[str, int], name: str) -> None:
            counts[name] = counts.get(name, 0) + 1

    def seconds() -> float:
        counter, counts = Counter(), dict[str, int]()
        begun = process_time()
        for i in range(100_000):
            counter.add(counts, f"n{i % 100}")
        return process_time() - begun

    return min(seconds() for _ in range(5))


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def load_average() -> float:
    return os.getloadavg()[0]


def per_order(cpu: Mapping[str, float], orders: int, least: float = 1.0) -> dict[str, float]:
    """Return microseconds per order, without processes that used less than `least`."""
    shares = {name: seconds / orders * 1e6 for name, seconds in cpu.items()}
    return {name: value for name, value in shares.items() if value >= least}
