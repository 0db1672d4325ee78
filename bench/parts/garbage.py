"""Measure the longest gap of the event loop for each route that reads a body, and show the worst of each type."""

from bench import garbage
from bench.bench import Bench
from bench.results import Row
from bench.stack import PARTNER, SCOPES, SERVICES


def measure(bench: Bench) -> None:
    bench.stage("feeding garbage to every route that reads a body")
    stack = bench.opened.stack
    token = stack.token(PARTNER, (*SCOPES, "ops:read", "ops:act"))
    gaps = [
        gap
        for service in SERVICES
        for gap in garbage.feed(
            stack.url(service),
            [stack.ops_url(f"{service}.{role}") for role in ("api", "worker")],
            token,
            bench.scale.garbage_share,
        )
    ]
    for kind in garbage.KINDS:
        fed = [gap for gap in gaps if gap.route.media_type == kind]
        worst = max(fed, key=lambda gap: gap.milliseconds)
        note = f"{worst.kind} to {worst.route.method} {worst.route.path}; {len(fed)} routes fed"
        bench.add(Row(f"Longest gap, {kind}", [worst.milliseconds], "ms", 100.0, "less", note))
