"""Predict what limits the rate on larger machines, from a result of the bench.

A process uses some processor time for each order, and some for each transaction, however many orders it has. `fit`
finds both from the loads of single orders, in which a transaction has one order or many. An order of a batch takes less
time, which is fitted to the batches alone. `limits` then compares the bounds of the design on a machine:

- All processes share the cores.
- A process has one event loop, so it uses at most one core. Further API processes and workers share the orders. A
  topic has `PARTITIONS` partitions, so no more workers of a service than that get any.
- One relay sends all messages of a database.
- The units that reserve one item run one after another.

PostgreSQL and Kafka use as many cores as they need. Disk, network, and conflicts between workers are not in the model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

PARTITIONS: Final = 12
LOADS: Final = ("20/s", "50/s", "200/s", "500/s", "single")
"""The loads of single orders, from which the costs are fitted."""
BATCHED: Final = "batched"
SERVICE_OF: Final[Mapping[str, str]] = {
    "order-service.api": "order-service",
    "order-service.worker": "order-service",
    "postgres order_service": "order-service",
    "inventory-service.api": "inventory-service",
    "inventory-service.worker": "inventory-service",
    "postgres inventory_service": "inventory-service",
}
"""The service whose transactions a process takes part in. Other processes take part in those of all services."""
SERVICES: Final = ("order-service", "inventory-service")


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of processor time."""

    order: float
    transaction: float

    def at(self, transactions: float) -> float:
        """Return the time for an order that takes part in so many transactions."""
        return self.order + self.transaction * transactions


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound of the rate, in orders a second."""

    rate: float
    by: str


def fit(points: Iterable[tuple[float, float]]) -> Cost:
    """Return the cost that fits (transactions per order, microseconds per order) best, neither part below zero.

    The squares of the relative errors are smallest, so that a slow load counts as much as a fast one.
    """
    scaled = [(1 / y, x / y) for x, y in points if y > 0]  # so that the cost of each is to be 1
    oo, ox, xx = (sum(one[i] * one[j] for one in scaled) for i, j in ((0, 0), (0, 1), (1, 1)))
    o, x = (sum(one[i] for one in scaled) for i in (0, 1))
    possible = [Cost(o / oo if oo else 0, 0), Cost(0, x / xx if xx else 0)]
    if determinant := oo * xx - ox * ox:
        both = Cost((o * xx - x * ox) / determinant, (x * oo - o * ox) / determinant)
        if both.order >= 0 and both.transaction >= 0:
            return both
    return min(possible, key=lambda cost: sum((cost.order * o + cost.transaction * x - 1) ** 2 for o, x in scaled))


@dataclass(frozen=True)
class Model:
    """The fitted costs by process, the counts per order by load, and the rows a second of a relay alone.

    `batched` has the costs for orders of a batch: a transaction costs as much as one of single orders.
    """

    costs: Mapping[str, Cost]
    batched: Mapping[str, Cost]
    counted: Mapping[str, Mapping[str, float]]
    relay: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Model":
        """Fit the model to a result. Raise KeyError if it lacks a part that the model needs."""
        cpu, counted = document["cpu_microseconds_per_order"], document["counted_per_order"]
        loads = [load for load in LOADS if load in cpu]
        names = sorted({name for load in (*loads, BATCHED) for name in cpu[load]})
        costs = {
            name: fit((_transactions(name, counted[load]), cpu[load].get(name, 0.0)) for load in loads)
            for name in names
        }
        batched = {
            name: Cost(max(0.0, cpu[BATCHED].get(name, 0.0) - cost.at(commits) + cost.order), cost.transaction)
            for name, cost in costs.items()
            for commits in [_transactions(name, counted[BATCHED])]
        }
        relay = next(row["value"] for row in document["rows"] if row["name"] == "Relay")
        return cls(costs, batched, counted, relay)

    def work(self, load: str) -> dict[str, float]:
        """Return the microseconds that an order of this load takes in each process."""
        costs = self.batched if load.startswith(BATCHED) else self.costs
        return {name: cost.at(_transactions(name, self.counted[load])) for name, cost in costs.items()}

    def limits(self, load: str, cores: int, *, most: bool) -> list[Limit]:
        """Return the bounds, the lowest first. `most`: as many processes as help; else one of each."""
        work = self.work(load)
        found = [Limit(cores * 1e6 / sum(work.values()), "all cores busy")]
        for service in SERVICES:
            worker = work[f"{service}.worker"]
            if not most:
                found.append(Limit(1e6 / worker, f"one {service}.worker"))
            else:
                found.append(Limit(PARTITIONS * 1e6 / worker, f"{PARTITIONS} partitions for {service}.worker"))
            messages = self.counted[load][f"{service} messages"]
            found.append(Limit(self.relay / messages, f"one relay in {service}"))
        if not most:
            found.append(Limit(1e6 / work["order-service.api"], "one order-service.api and its writer"))
        return sorted(found, key=lambda limit: limit.rate)

    def processes(self, load: str, rate: float) -> dict[str, int]:
        """Return how many processes of each kind reach the rate."""
        work = self.work(load)
        return {
            name: max(1, ceil(rate * each / 1e6)) for name, each in work.items() if name.endswith((".api", ".worker"))
        }

    def one_item(self, load: str) -> Limit:
        """Return the bound if every order has one item: a unit holds its lock until it commits."""
        work = self.work(load)
        held = work["inventory-service.worker"] + work["postgres inventory_service"]
        return Limit(1e6 / held, "one item in every order")


def _transactions(process: str, counted: Mapping[str, float]) -> float:
    services = [SERVICE_OF[process]] if process in SERVICE_OF else SERVICES
    return sum(counted[f"{service} transactions"] for service in services)
