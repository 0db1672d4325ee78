"""Measure the throughput and latency of the stack from outside: `python -m bench` (`make bench`)."""
