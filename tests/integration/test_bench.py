"""Run the bench on a few orders, so that it does not break unnoticed between its rare full runs."""

from contextlib import ExitStack

from bench.results import Results
from bench.run import TINY, measure
from bench.stack import BenchStack

from crossdock_local.stack import Stack


def test_every_row_can_be_measured(stack: Stack) -> None:
    found = Results({}, "")
    stages: list[str] = []
    with ExitStack() as helpers:
        opened = BenchStack(stack, helpers, TINY.items)
        opened.stock()
        measure(opened, TINY, found, stages.append, alone=False)
    assert len({row.name for row in found.rows}) == len(found.rows) == 16
    assert all(row.value > 0 for row in found.rows if row.unit != "ms")
    assert [row.name for row in found.rows if row.target is not None] == [
        "Accepted to confirmed, p99",
        "End to end, single",
        "End to end, batched",
        "Longest gap, application/json",
        "Longest gap, application/x-ndjson",
        "Longest gap, text/csv",
        "Accept ÷ validate only",
        "End to end, single ÷ twin",
        "End to end, batched ÷ twin",
    ]
    assert found.cpu.keys() == {"single", "batched", "50/s", "twin"}
