import time

from crossdock_cli.output import console
from crossdock_local.stack import Stack


def down() -> None:
    """Stop everything; the data stays."""
    stack, out = Stack.current(), console()
    if not any(handle.alive for handle in [*stack.handles(), stack.supervisor]):
        out.print("Nothing was running.")
        return
    begun = time.monotonic()
    stack.down()
    out.print(f"Stopped after {time.monotonic() - begun:.1f} s. The data stays: `make up` starts it again.")
