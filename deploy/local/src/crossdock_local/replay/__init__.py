"""A recorded trading day, posted order by order into a running stack. `docs/replay.md` tells what is real in it."""

from crossdock_local.replay.play import Stack, replay
from crossdock_local.replay.summary import Latency, Summary, show

__all__ = ["Latency", "Stack", "Summary", "replay", "show"]
