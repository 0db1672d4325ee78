"""A service as a value: what it is made of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from sqlalchemy import MetaData

from crossdock_chassis import migrations as own_migrations
from crossdock_chassis.checks import Check, CheckAtRest
from crossdock_chassis.commands.idempotency import UNANSWERED_KEY
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.fit import Fit
from crossdock_chassis.database.outbox import PENDING_NOTHING
from crossdock_chassis.database.unit import Database
from crossdock_chassis.effects.performer import Performer
from crossdock_chassis.feature import Feature, merged
from crossdock_chassis.housekeeping import partitions
from crossdock_chassis.http import actions as actions_http
from crossdock_chassis.http import dead_letters, limit_routes, operations
from crossdock_chassis.http import effects as effects_http
from crossdock_chassis.http import jobs as jobs_http
from crossdock_chassis.http import projections as projections_http
from crossdock_chassis.http import reactions as reactions_http
from crossdock_chassis.http import stops as stops_http
from crossdock_chassis.http.application import Api
from crossdock_chassis.http.limits import Limits, groups_of
from crossdock_chassis.http.request import Verifier
from crossdock_chassis.http.tokens import verifier_for
from crossdock_chassis.jobs.declare import Job
from crossdock_chassis.messaging.aside import dead_letter_spec
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.grants import Grant
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.messaging.log import Keep, subscription_of
from crossdock_chassis.messaging.reactions import Locks, Reaction, Start, Subscription
from crossdock_chassis.problems import Problems
from crossdock_chassis.projections import generations
from crossdock_chassis.projections.declare import Projection
from crossdock_chassis.projections.reads import DeclaredReaction, declared
from crossdock_chassis.projections.rebuild import Rebuild
from crossdock_chassis.redrive import resolving
from crossdock_chassis.settings import Settings
from crossdock_events import CATALOGUE, TopicSpec

OWN_CHECKS = (UNANSWERED_KEY, PENDING_NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything a service adds to the chassis. Tests take the same value that production runs.

    Raise TypeError if two features name a problem of the same exception or provide the same class.
    `reactions_start` must be stated: the place where reactions start on a topic that is new to them, `beginning` or
    `now`. Reactions that act on the world start at `now`, so that they do not repeat history.
    `reaction_locks` takes all locks for a batch with events of several types before the first reaction runs.
    `projections` are tables that are built from events alone. Each is rebuilt on its own.
    `log` keeps whole records of every topic. Its group starts at the first record.
    `checks` are the invariants of its own tables, which `crossdock verify` tests.
    `watches` are groups of other services whose positions it looks up in Kafka. `*` stands for all groups.
    `unsettled` is SQL for `crossdock verify`: each row describes work that the service has not finished.
    """

    name: str
    settings: Settings
    database: Database
    metadata: MetaData
    migrations: ModuleType
    features: Sequence[Feature] = ()
    reactions: Sequence[Reaction] = ()
    reactions_start: Start | None = None
    reaction_locks: Locks | None = None
    projections: Sequence[Projection] = ()
    log: Keep | None = None
    effects: Sequence[Performer] = ()
    checks: Sequence[Check | CheckAtRest] = ()
    unsettled: Sequence[str] = ()
    watches: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Pass the problems, which outcomes are counted by, the kinds of effects, and the schemas to the database.

        Raise TypeError if two features claim the same exception or class, or if reactions do not state their start.
        Raise ValueError if two performers have the same kind.
        """
        self.database.problems = Problems(merged(self.features).problems, passing=is_transient)
        kinds = frozenset(performer.kind for performer in self.effects)
        if len(kinds) < len(self.effects):
            raise ValueError(f"{self.name} has two performers of the same kind")
        self.database.effect_kinds = kinds
        if self.settings.schemas_url is not None:
            self.database.schemas = f"{self.settings.schemas_url}/"
        if self.reactions and self.reactions_start is None:
            raise TypeError(f"{self.name} has reactions: state reactions_start, 'beginning' or 'now'")

    @property
    def invariants(self) -> Sequence[Check | CheckAtRest]:
        """Return the checks of all its tables: of its own and of the chassis."""
        return *OWN_CHECKS, *self.checks

    @property
    def jobs(self) -> Sequence[Job]:
        """Return the jobs of the features, and the one that resolves dead letters."""
        own = [resolving(self.inboxes())] if self.reactions or self.projections else []
        return [*merged(self.features).jobs, *own]

    def subscriptions(self) -> list[Subscription]:
        """Return what the reactions, the projections and the log read. `live` has the groups that run."""
        logging = [] if self.log is None else [subscription_of(self.name)]
        return self._reacting() + [each.subscription(self.name) for each in self.projections] + logging

    def reads(self) -> list[DeclaredReaction]:
        """Return which events it reads, and the handlers that get them."""
        return declared(self.name, self.reactions, self.projections, log=self.log is not None)

    async def live(self) -> list[Subscription]:
        """Return the groups that react: of the reactions, and of each generation that this version builds."""
        live = await generations.live(self.database)
        return self._reacting() + list(generations.subscriptions(self.name, self.projections, live).values())

    async def running(self) -> list[Subscription]:
        """Return all groups that run: `live`, and the log."""
        return await self.live() + ([] if self.log is None else [subscription_of(self.name)])

    def _reacting(self) -> list[Subscription]:
        if self.reactions:
            start = self.reactions_start or "beginning"
            return [Subscription(self.name, "reaction", self.reactions, CATALOGUE, self.reaction_locks, start)]
        return []

    def topics(self) -> frozenset[str]:
        """Return the topics that must exist before the worker starts: read, owned and dead-letter topics."""
        subscriptions = self.subscriptions()
        read = {topic for subscription in subscriptions for topic in subscription.topics}
        return frozenset(read | self.owned_topics() | set(self.dead_letter_topics()))

    def topic_specs(self) -> list[TopicSpec]:
        """Return what `topics` lists, with the declared partitions and settings."""
        names, declared = self.topics(), [topic.spec for topic in CATALOGUE.topics()]
        return [each for each in [*declared, *self.dead_letter_specs()] if each.name in names]

    def grants(self) -> list[Grant]:
        """Return what its Kafka user must be allowed: write its topics, read the declared ones, join its groups."""
        read = {topic for subscription in self.subscriptions() for topic in subscription.topics}
        logged = [] if self.log is None else [Grant("topic", "crossdock.", "Read", prefixed=True)]
        return sorted(
            [
                *(Grant("topic", topic, "Read") for topic in read),
                *(Grant("topic", topic, "Write") for topic in self.owned_topics()),
                *(Grant("topic", topic, "Write") for topic in self.dead_letter_topics()),
                *(Grant("group", group, "Describe") for group in self.watches),
                Grant("group", self.name, "Read", prefixed=True),
                *logged,
            ]
        )

    def owned_topics(self) -> set[str]:
        return {topic.name for topic in CATALOGUE.topics() if topic.owner == self.name}

    def dead_letter_topics(self) -> list[str]:
        return [spec.name for spec in self.dead_letter_specs()]

    def dead_letter_specs(self) -> list[TopicSpec]:
        """Return the topics that mirror this service's dead letters, by name."""
        return sorted(
            (
                dead_letter_spec(topic, subscription.group)
                for subscription in self.subscriptions()
                if subscription.kind == "reaction"
                for topic in subscription.topics
            ),
            key=lambda spec: spec.name,
        )

    def api(self, verifier: Verifier | None = None, limits: Limits | None = None) -> Api:
        """Return the HTTP application. Health and metrics are on the ops port."""
        settings = self.settings
        inboxes = self.inboxes()
        own = [
            jobs_http.feature(self.database),
            actions_http.feature(self.database),
            operations.feature(self.name, self.database, self.running),
            reactions_http.feature(self.reads()),
        ]
        if self.reactions or self.projections:
            own.append(dead_letters.feature(self.database, inboxes))
            own.append(projections_http.feature(self.database, settings.broker, self.rebuilds(), [*inboxes]))
        if self.reactions or self.projections or self.log:
            own.append(stops_http.feature(self.database))
        if self.effects:
            own.append(effects_http.feature(self.database, self.effects))
        limits = limits or Limits(self.database)
        if groups := groups_of(route for feature in self.features for each in feature.routers for route in each.routes):
            own.append(limit_routes.feature(self.database, limits, groups))
        whole = merged([*self.features, *own])
        return Api(
            self.name,
            whole.routers,
            verifier=verifier or verifier_for(settings),
            problems=whole.problems,
            provides=whole.provides,
            pages=whole.pages,
            limiter=limits,
            max_body_bytes=settings.max_body_bytes,
            partner_requests=settings.partner_requests,
        )

    def inboxes(self) -> "Inboxes":
        return Inboxes(self.name, self._reacting(), self.projections)

    def consumers(self) -> list[Consumer]:
        """Return the consumers of the reactions. The part `Projections` has those of the projections."""
        return [Consumer(self.database, self.settings.broker, each) for each in self._reacting()]

    def rebuilds(self) -> list[Rebuild]:
        return [Rebuild(self.database, self.settings.broker, self.name, each) for each in self.projections]

    def fit(self) -> Fit:
        """Return the check that its database is of the right version and migrated."""
        return Fit(self.database, {"crossdock_chassis_version": own_migrations, "crossdock_version": self.migrations})

    async def migrate(self) -> None:
        """Migrate the database, and create the first generation of each projection. Raise Unfit."""
        await self.fit().check(migrating=True)
        from crossdock_chassis.database import migrate  # noqa: PLC0415  (alembic takes a quarter of a second to import)

        await migrate.migrate_async(self.database.dsn, self.migrations)
        await partitions.keep_partitions(self.database.unit)
        async with self.database.unit() as unit:
            for each in self.projections:
                await generations.prepare(unit.sql, self.name, each)


class Inboxes(Mapping[str, Inbox]):
    """The inboxes by consumer group. It lists those of the reactions, and finds those of any generation."""

    def __init__(self, service: str, reacting: Sequence[Subscription], projections: Sequence[Projection]) -> None:
        self._service, self._inboxes = service, {each.group: Inbox(each) for each in reacting}
        self._projections = {each.group(service): each for each in projections}

    def __getitem__(self, group: str) -> Inbox:
        beginning, _, generation = group.rpartition(".")
        if beginning in self._projections and generation.isdecimal():
            return Inbox(self._projections[beginning].subscription(self._service, int(generation)))
        return self._inboxes[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inboxes)

    def __len__(self) -> int:
        return len(self._inboxes)
