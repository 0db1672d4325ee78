"""Run the command `crossdock` in this process."""

import asyncio

from typer.testing import CliRunner

from crossdock_cli.app import build


async def crossdock(*arguments: str) -> str:
    """Return the output. Raise what the command raises."""
    done = await asyncio.to_thread(CliRunner().invoke, build(list(arguments)), arguments)
    if done.exception:
        raise done.exception
    return done.output
