"""The size of a run: how many orders each row sends, and how often it is repeated."""

from dataclasses import dataclass

from bench import goods

BATCH_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Scale:
    """Most fields are orders a run. Each row has `repeats` runs. `steady`: orders a second, and seconds a run."""

    items: int = goods.ITEMS
    repeats: int = 3
    warm: int = 4_000
    accept: int = 5_000
    accept_batched: int = 6_000
    bare: int = 2_000
    single: int = 8_000
    batched: int = 16_000
    batch: int = 1_000
    steady: tuple[tuple[int, int], ...] = ((20, 8), (50, 5), (200, 5), (500, 4))
    idle_seconds: int = 30
    varied: int = 2_000
    relayed: int = 20_000
    published: int = 400_000
    consumed: int = 16_000
    restarted: int = 4
    twin: int = 600
    connections: int = 128
    garbage_share: float = 1.0


FULL = Scale()
TINY = Scale(
    items=50, repeats=1, warm=50, accept=100, accept_batched=100, bare=40, single=100, batched=200, batch=50,
    steady=((50, 1),), idle_seconds=1, varied=40,
    relayed=200, published=500, consumed=100, restarted=1, twin=30, connections=8, garbage_share=0.01,
)  # fmt: skip
"""Enough to check that every row can be measured. Its numbers mean nothing."""
