from typing import Annotated

import typer

from crossdock_cli import discovery, growing, installation
from crossdock_cli.broker import broker
from crossdock_cli.errors import CommandError
from crossdock_cli.output import console
from crossdock_cli.topics import Topics, of_catalogue, of_dead_letters

topics = typer.Typer(no_args_is_help=True, help="Create the topics in Kafka, or give one more partitions.")


@topics.command()
def create() -> None:
    """Create the topics that are missing in the Kafka of CROSSDOCK_KAFKA, also those for dead letters. Repeatable.

    Wait for Kafka up to a minute. An existing topic stays as it is. Fewer partitions than declared are an error.
    """
    kafka = broker()
    wanted, there = [*of_catalogue(), *of_dead_letters(discovery.installed())], Topics(**kafka.options)
    there.wait()
    made = there.ensure(wanted)
    found = there.all_partitions([each.name for each in wanted])
    console().print(f"{len(made)} topics created, {len(wanted) - len(made)} were there.", markup=False)
    lacking = [each for each in wanted if found[each.name] < each.partitions]
    if lacking:
        rows = [f"{each.name}: {found[each.name]} of {each.partitions}" for each in lacking]
        raise CommandError(
            "Topics have fewer partitions than declared: docs/operations.md explains how to add some.", "\n".join(rows)
        )


@topics.command()
def grow(
    topic: Annotated[str, typer.Argument(help="The topic, such as crossdock.orders.v1.")],
    partitions: Annotated[int, typer.Argument(min=1, max=1000, help="The number that it shall have.")],
) -> None:
    """Add partitions while everything runs. Events of the new ones wait about a minute, so choose a quiet time."""
    growing.grow(installation.current(), topic, partitions, console())
