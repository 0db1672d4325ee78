"""What the manifests need to know of each installed service."""

from dataclasses import dataclass
from functools import cache

from crossdock_chassis import Service
from crossdock_cli.discovery import NOWHERE, installed
from crossdock_events import CATALOGUE, TopicSpec
from crossdock_local.services import roles_of

APPLICATION = "crossdock"
IMAGE = "crossdock"
DOMAIN = "domain"
"""Stands for the domain in the names of hosts. An overlay replaces it."""
NAMESPACE = "crossdock"
SETTINGS = "crossdock"
"""The ConfigMap with the settings that all processes share. An overlay makes it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A service as its code describes it. `package` is also the name of its database and its role in PostgreSQL."""

    name: str
    package: str
    roles: tuple[str, ...]
    service: Service

    @property
    def http_port(self) -> int:
        return self.service.settings.http_port

    @property
    def ops_port(self) -> int:
        return self.service.settings.ops_port

    @property
    def asks_services(self) -> bool:
        """Return whether it has a setting with the addresses of the other services."""
        return "services" in type(self.service.settings).model_fields

    @property
    def mail_ports(self) -> dict[str, int]:
        """Return the variables for the ports of mail servers, with their defaults."""
        fields = type(self.service.settings).model_fields
        names = [name for name in ("smtp_port", "imap_port") if name in fields]
        return {f"CROSSDOCK_{name.upper()}": int(fields[name].default) for name in names}

    @property
    def streams(self) -> bool:
        """Return whether one of its routes answers with server-sent events."""
        routes = [route for feature in self.service.features for router in feature.routers for route in router.routes]
        return any(_media_type(route) == "text/event-stream" for route in routes)

    @property
    def has_console(self) -> bool:
        return "console" in type(self.service.settings).model_fields

    @property
    def max_body_bytes(self) -> int:
        """Return the size of the largest request that one of its routes takes."""
        settings = self.service.settings
        return max(settings.max_body_bytes, int(getattr(settings, "import_max_bytes", 0)))

    @property
    def partitions(self) -> int:
        """Return the number of workers that can read at once: the most partitions of a topic that it reads."""
        read = {topic for each in self.service.subscriptions() for topic in each.topics}
        return max(topic.partitions for topic in CATALOGUE.topics() if topic.name in read)

    @property
    def written(self) -> list[TopicSpec]:
        """Return the topics that it writes: those of its events, and its dead letters."""
        names = {*self.service.owned_topics(), *self.service.dead_letter_topics()}
        return sorted((each for each in self.service.topic_specs() if each.name in names), key=lambda each: each.name)


def _media_type(route: object) -> str | None:
    return getattr(getattr(route, "response_class", None), "media_type", None)


@cache
def facts() -> tuple[Facts, ...]:
    """Return the facts of all installed services by name. Building a service connects to nothing."""
    return tuple(
        Facts(each.name, each.package, tuple(roles_of(each, together=False)), each.build(NOWHERE))
        for each in installed()
    )
