"""Measure crm-service: how fast orders, mails and complaints come in, and what a million customers and cases cost."""

from bench.crm.run import run
from bench.crm.size import FULL, TINY, Size

__all__ = ["FULL", "TINY", "Size", "run"]
