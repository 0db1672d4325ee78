"""Crossdock on one machine. `make up`, tests, benchmarks and chaos runs use the same launcher."""
