"""Post a recorded trading day into a running stack, order by order. `docs/replay.md` lists which data is real."""

from crossdock_cli.replay.play import replay
from crossdock_cli.replay.summary import Latency, Summary, show

__all__ = ["Latency", "Summary", "replay", "show"]
