"""Measure analytics-service: the log and its projections, many live streams, and the page of live events.

The parts write events straight to Kafka, as the relays of the other services would. Only analytics-service runs.
"""

from bench.watch.run import run
from bench.watch.watching import FULL, TINY, Size

__all__ = ["FULL", "TINY", "Size", "run"]
