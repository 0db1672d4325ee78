"""Show a bar on the standard error while a service works."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import Progress

Show: TypeAlias = Callable[[str, int, int | None], None]
"""Shows what is done now, the steps that are done, and all steps if their number is known."""


@contextmanager
def bar(first: str) -> Iterator[Show]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(first, total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)
