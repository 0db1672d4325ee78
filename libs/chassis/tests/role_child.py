"""A process of the toy service: `role_child.py ROLE`. CROSSDOCK_NAME is the name of the service."""

from dataclasses import replace

import toy

from crossdock_chassis import Service
from crossdock_chassis.roles import main


class Settings(toy.Settings):
    name: str


def build(settings: Settings) -> Service:
    return replace(toy.build(settings), name=settings.name, projections=())


if __name__ == "__main__":
    main(build, Settings)
