"""A recorded trading day, posted order by order into a running stack. `docs/replay.md` tells what is real in it."""

from crossdock_cli.replay.play import replay
from crossdock_cli.replay.summary import Latency, Summary, show

__all__ = ["Latency", "Summary", "replay", "show"]
