import typer
from rich.table import Table

from crossdock_cli.output import console, print_table
from crossdock_local import supervisor
from crossdock_local.layout import size_of
from crossdock_local.stack import Stack


def status() -> None:
    """Show the processes, their restarts, addresses and memory. Exit with 1 if one is not ready."""
    stack, out = Stack.current(), console()
    table = Table("process", "state", "restarts", "pid", "RAM", "address", box=None)
    restarts = supervisor.restarts(stack.restarts_file)
    stack.heal()
    held = {hold.name: hold.why for hold in stack.holds.all() if hold.valid}
    states = stack.status()
    for each in states:
        colour = {"ready": "green", "stopped": "red"}.get(each.state, "yellow")
        ram = f"{each.memory / 1e6:.0f} MB" if each.memory else ""
        count = str(restarts.get(each.name) or "")
        state = f"{each.state}, held by {held[each.name]}" if each.name in held else each.state
        table.add_row(each.name, f"[{colour}]{state}[/{colour}]", count, str(each.pid or ""), ram, each.url)
    print_table(out, table)
    out.print(weight(stack))
    if any(each.state != "ready" for each in states):
        raise typer.Exit(1)


def weight(stack: Stack) -> str:
    ram = sum(handle.memory for handle in stack.handles())
    disk, data = size_of(stack.home.root), size_of(stack.home.postgres) + size_of(stack.home.broker)
    return f"RAM {ram / 1e6:.0f} MB, disk {disk / 1e6:.0f} MB (data {data / 1e6:.0f} MB) in {stack.home.root}"
