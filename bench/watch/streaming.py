"""Measure many live streams: the time from Kafka to each client, the processor time, and the memory of a client."""

from typing import Final

from bench.cpu import used
from bench.helper import Helper
from bench.results import Row
from bench.stack import BenchFailed
from bench.statistics import percentile
from bench.watch.watching import SERVICE, WAIT_SECONDS, Watch
from crossdock_cli.waiting import in_thread

MIB: Final = 2**20


def measure(watch: Watch) -> None:
    size, stack = watch.size, watch.stack
    watch.stage(f"{size.streams} streams at {size.rate} events a second for {size.seconds:.0f} s")
    api, meter = stack.process(f"{SERVICE}.api"), watch.meter()
    tokens = stack.tokens([f"bench-{n}" for n in range(size.streams)], ["ops:read"])
    with Helper("bench.watch.reader") as reader:
        idle = api.memory
        start = int(reader.ask({"url": f"{stack.url(SERVICE)}/v1/stream", "tokens": [*tokens.values()]})["position"])
        before = meter.read()
        sent = in_thread(lambda: watch.feeder.steadily(size.rate, size.seconds))
        core = used(before, meter.read())[f"{SERVICE}.api"] / size.seconds
        found = reader.ask({"until": start + sent, "seconds": WAIT_SECONDS})["seen"]
        memory = max(0, api.memory - idle) / size.streams / MIB
    if missing := sum(sent - sum(count for _, _, count in each) for each in found):
        raise BenchFailed(f"{missing:,} records did not reach a stream.")
    times = in_thread(lambda: watch.times(start))
    delays = [at - times[p] for each in found for at, last, count in each for p in range(last - count + 1, last + 1)]
    name = f"{size.streams} streams at {size.rate} events/s"
    watch.add(
        Row(f"{name}, Kafka to client, p50", [percentile(delays, 0.5) * 1000], "ms", better="less"),
        Row(f"{name}, Kafka to client, p99", [percentile(delays, 0.99) * 1000], "ms", better="less"),
        Row(f"{name}, API process", [core * 100], "% of a core", better="less"),
        Row(f"{name}, memory a stream", [memory], "MiB", better="less"),
    )
