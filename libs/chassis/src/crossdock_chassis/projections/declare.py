"""Projections as values. A service lists them in `Service(projections=[…])`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import MetaData

from crossdock_chassis.messaging.reactions import Generation, Reaction, Subscription
from crossdock_events import CATALOGUE

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Projection:
    """Tables that are built from events alone, so that they can be rebuilt from the first event.

    Each generation has its `tables` in a schema of its own. For readers a view with the name of the table shows the
    current generation. The handlers of `on` name the tables without a schema too, and write the generation that they
    build.

    Raise `version` if the tables or the handlers change. The worker then builds the next generation beside the current
    one, and readers see it when it has caught up.
    """

    name: str
    tables: MetaData
    on: Sequence[Reaction]
    version: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError if the name cannot be part of a schema's name."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the name of a projection is lower case, digits and underscores, not {self.name!r}")

    def schema(self, generation: int) -> str:
        return f"{self.name}_g{generation}"

    def group(self, service: str) -> str:
        """Return the name that the consumer groups of all generations begin with."""
        return f"{service}.{self.name}"

    def subscription(self, service: str, generation: int | None = None) -> Subscription:
        """Return what a generation reads. Without a generation it describes the projection, and nothing runs it."""
        group = self.group(service)
        if generation is None:
            return Subscription(group, "projection", self.on, CATALOGUE)
        built = Generation(generation, self.version, self.schema(generation))
        return Subscription(f"{group}.{generation}", "projection", self.on, CATALOGUE, generation=built)
