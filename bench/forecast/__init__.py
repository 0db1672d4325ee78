"""Measure the forecasts of forecast-service on the recorded year, or on a pair of files in the format of M4.

No server runs. Each group is forecast in a child of its own, so that processor time and memory are those of its work.
"""

from bench.forecast.size import FULL, TINY, Size

__all__ = ["FULL", "TINY", "Size"]
