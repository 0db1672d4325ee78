"""A feature of a service as a value: `feature(database, settings)` in the feature's package returns it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import APIRouter
from starlette.routing import BaseRoute

from crossdock_chassis.jobs.declare import Job
from crossdock_chassis.problems import Problem


class Part(Protocol):
    """Work of a process beside others. `progressed` is the monotonic time of its last sign of life."""

    @property
    def progressed(self) -> float: ...

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set and what is in flight is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Everything that a feature adds to its service, except for its rows in `reactions.py`.

    `routers` are module-level values. `provides` are the objects that their routes take by `provided(Class)`, one for
    each class. `problems` maps each exception that the routes let through to its problem. `parts` run in each API
    process beside its routes, by name. `computing` are the parts of a runner: they claim work from the database and
    compute it in a `Child`. The entry-point group `crossdock.runners` names each service that has such parts.

    `pages` are starlette's routes for a web page and the calls of its browser. They are no part of the API. They have
    no OpenAPI, set their own headers, and authenticate in their own way. They get a request only if no route of the API
    has its path. Their paths are matched undecoded.
    """

    routers: Sequence[APIRouter] = ()
    pages: Sequence[BaseRoute] = ()
    provides: Sequence[object] = ()
    jobs: Sequence[Job] = ()
    problems: Mapping[type[Exception], Problem] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    computing: Mapping[str, Part] = field(default_factory=dict)


def merged(features: Sequence[Feature]) -> Feature:
    """Merge features into one. Raise TypeError if two of them claim the same exception or class."""
    problems: dict[type[Exception], Problem] = {}
    provides: dict[type, object] = {}
    for feature in features:
        for error, problem in feature.problems.items():
            if error in problems:
                raise TypeError(f"two features name a problem of {error.__qualname__}")
            problems[error] = problem
        for value in feature.provides:
            if type(value) in provides:
                raise TypeError(f"two features provide {type(value).__qualname__}")
            provides[type(value)] = value
    return Feature(
        routers=[router for feature in features for router in feature.routers],
        pages=[page for feature in features for page in feature.pages],
        provides=list(provides.values()),
        jobs=[job for feature in features for job in feature.jobs],
        problems=problems,
        parts={name: part for feature in features for name, part in feature.parts.items()},
        computing={name: part for feature in features for name, part in feature.computing.items()},
    )
