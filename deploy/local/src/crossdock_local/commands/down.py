import time

from rich.console import Console

from crossdock_local.stack import Stack


def down() -> None:
    """Stop everything; the data stays."""
    stack, console = Stack.current(), Console(highlight=False)
    if not any(handle.alive for handle in [*stack.handles(), stack.supervisor]):
        console.print("Nothing was running.")
        return
    begun = time.monotonic()
    stack.down()
    console.print(f"Stopped after {time.monotonic() - begun:.1f} s. The data stays: `make up` starts it again.")
