"""Crossdock on one machine: the same launcher serves `make up`, tests, benches and chaos runs."""
