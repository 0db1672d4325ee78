"""Write the tables and the picture of `docs/performance.md` from results: `python -m bench page`.

The page has blocks `<!-- name -->` … `<!-- end -->`. A block is replaced as a whole; all other text stays.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.chart import Line, chart
from bench.helper import ROOT
from bench.model import Model
from bench.results import shown

PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "performance.svg"
CORES: Final = (2, 8, 32, 128)
KINDS: Final = ("single", "batched")
WORKERS: Final = "two workers"
LATENCY: Final = re.compile(r"Accepted to confirmed at (\d+)/s, (p\d+)")


def write(latest: Path, *others: Path, page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Replace the blocks of the page, and draw the picture. A block of `others` without results stays."""
    document = json.loads(latest.read_text())
    blocks = {"machine": machine(document), "rows": rows(document["rows"]), "model": model(document)}
    blocks["check"] = check(document)
    for other in others:
        if other.exists():
            found = json.loads(other.read_text())
            blocks[other.stem] = f"{machine(found)}\n\n{rows(found['rows'])}"
    text = page.read_text()
    for name, block in blocks.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not end:
            raise ValueError(f"{page} has no block {name}")
        text = f"{before}{begin}{block}\n{end}{after}"
    page.write_text(text)
    picture.write_text(latency_chart(document["rows"]))


def machine(document: Mapping[str, Any]) -> str:
    about, load = document["machine"], document["load_average"]
    return (
        f"Measured {document['at'][:10]} on {about['cores']} cores ({about['processor']}), "
        f"{about['memory_gigabytes']:.0f} GB, {about['system']}, Python {about['python']}, PostgreSQL "
        f"{about['postgres']}, Kafka {about['kafka']}.\n"
        f"The load average was {load['before']:.1f} before and {load['after']:.1f} after the run of "
        + " ".join([f"{document['seconds']:.0f} seconds.", *document["notes"]])
    )


def rows(measured: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a table, with their targets."""
    lines = ["| | measured | to reach |", "|---|---:|---:|"]
    for row in measured:
        sign = "≥" if row["better"] == "more" else "≤"
        target = "" if row["target"] is None else f"{sign} {shown(row['target'])}"
        reached = "" if row["met"] is not False else " (missed)"
        lines.append(f"| {row['name']} | {shown(row['value'])} {row['unit']} | {target}{reached} |")
    return "\n".join(lines)


def model(document: Mapping[str, Any]) -> str:
    """Return a table of the predicted rates by number of cores, and what limits them."""
    fitted = Model.of(document)
    lines = ["| cores | load | one process of each | limited by | many processes | limited by | processes |"]
    lines.append("|---:|---|---:|---|---:|---|---|")
    for cores in CORES:
        for load in KINDS:
            one, many = fitted.limits(load, cores, most=False)[0], fitted.limits(load, cores, most=True)[0]
            needed = fitted.processes(load, many.rate)
            names = ", ".join(f"{count} {name}" for name, count in needed.items() if count > 1) or "one of each"
            lines.append(
                f"| {cores} | {load} | {shown(one.rate)} | {one.by} | {shown(many.rate)} | {many.by} | {names} |"
            )
    bounds = [f"{load} {shown(fitted.one_item(load).rate)}" for load in KINDS]
    lines += ["", f"If every order has one and the same item: {', '.join(bounds)} orders/s, on any number of cores."]
    return "\n".join(lines)


def check(document: Mapping[str, Any]) -> str:
    """Return a table of predicted and measured values, with one and two workers of each service.

    The rate is predicted from the cores that were busy with one worker.
    """
    fitted, cpu = Model.of(document), document["cpu_microseconds_per_order"]
    rates = {row["name"]: row["value"] for row in document["rows"]}
    lines = ["| load | workers | transactions an order | µs an order: model | measured | orders/s: model | measured |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for kind in KINDS:
        busy = rates[f"End to end, {kind}"] * sum(cpu[kind].values())
        for workers, load in ((1, kind), (2, f"{kind}, {WORKERS}")):
            if load in cpu:
                predicted = sum(fitted.work(load).values())
                commits = sum(count for name, count in fitted.counted[load].items() if name.endswith("transactions"))
                values = [f"{commits:.3f}", f"{predicted:,.0f}", f"{sum(cpu[load].values()):,.0f}"]
                values += [shown(busy / predicted), shown(rates[f"End to end, {load}"])]
                lines.append(f"| {kind} | {workers} | {' | '.join(values)} |")
    return "\n".join(lines)


def latency_chart(measured: Sequence[Mapping[str, Any]]) -> str:
    """Draw the latencies at the steady rates, and the highest rate of each kind of load."""
    lines = [Line(name, sorted(_latencies(measured, name))) for name in ("p50", "p99")]
    marks = {
        f"{kind}: {row['value']:,.0f}/s": row["value"]
        for kind in KINDS
        for row in measured
        if row["name"] == f"End to end, {kind}"
    }
    return chart("Accepted to confirmed", "orders a second", "milliseconds", lines, marks)


def _latencies(measured: Sequence[Mapping[str, Any]], percentile: str) -> Iterator[tuple[float, float]]:
    for row in measured:
        if (found := LATENCY.fullmatch(row["name"])) and found[2] == percentile:
            yield float(found[1]), row["value"]
