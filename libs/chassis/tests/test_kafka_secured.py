"""The settings of Kafka against a real one with TLS, passwords and access control lists."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import toy
from aiokafka.errors import KafkaConnectionError
from examples import placed
from on_kafka import ORDERS, all_published, eventually, publish, running
from secured_kafka import SecuredKafka, certify

from crossdock_chassis import Broker, Service
from crossdock_chassis.messaging.clients import check_topics
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.grants import Grant
from crossdock_chassis.messaging.relay import Relay
from crossdock_chassis.testing import Fresh
from crossdock_chassis.unfit import Unfit
from crossdock_events.orders import OrderEvent
from crossdock_local.layout import downloads

USER, STRANGER = "toy-service", "stranger"
SPEC = OrderEvent.topic.spec


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    made = SecuredKafka(tmp_path_factory.mktemp("kafka"), downloads(), [USER, STRANGER, "forgotten"])
    made.prepare()
    made.process.start()
    try:
        made.wait_ready()
        yield made
    finally:
        made.process.stop()


@pytest.fixture
async def service(fresh: Fresh, kafka: SecuredKafka) -> Service:
    """A service whose user has what the service declares, and may write orders for these tests."""
    made = replace(await fresh(toy.build, toy.Settings, **_settings(kafka, USER)), projections=())
    kafka.topics.ensure(made.topic_specs())
    await kafka.grant(USER, [*made.grants(), Grant("topic", ORDERS, "Write")])
    return made


def _settings(kafka: SecuredKafka, user: str) -> dict[str, str]:
    return {name.removeprefix("CROSSDOCK_").lower(): value for name, value in kafka.environment(user).items()}


async def test_declared_grants_are_enough_to_publish_and_react(service: Service) -> None:
    await eventually(lambda: _fits(service))
    await publish(service, (placed("PO-1"), 1))
    async with running(Relay(service.database.dsn, service.settings.broker, service.name), *service.consumers()):

        async def marked() -> bool:
            return "PO-1" in await toy.marks(service) and await all_published(service)

        await eventually(marked)


async def _fits(service: Service) -> bool:
    """Return whether Kafka has applied the grants. It answers them before."""
    try:
        await check_topics(service.settings.broker, service.topic_specs())
    except Unfit:
        return False
    return True


async def test_forbidden_topic_leaves_the_group_unready_with_a_reason(
    service: Service, kafka: SecuredKafka, caplog: pytest.LogCaptureFixture
) -> None:
    await kafka.grant("forgotten", [Grant("topic", ORDERS, "Describe"), Grant("group", service.name, "Read")])
    consumer = Consumer(service.database, kafka.broker("forgotten"), service.subscriptions()[0])

    async def warned() -> bool:
        return "Kafka forbids forgotten [Error 29] TopicAuthorizationFailedError: " in caplog.text

    with caplog.at_level(logging.WARNING):
        async with running(consumer):
            await eventually(warned)
            before = consumer.progressed
            caplog.clear()
            await eventually(warned)
            assert consumer.progressed > before, "the process would end as hanging"
    assert not consumer.ready


async def test_user_without_rights_is_named_at_start(service: Service, kafka: SecuredKafka) -> None:
    with pytest.raises(Unfit, match=f"does not show the user {STRANGER} the topic {ORDERS}: grant it access"):
        await check_topics(kafka.broker(STRANGER), [SPEC])


async def test_what_is_wrong_with_a_connection_is_named(service: Service, kafka: SecuredKafka) -> None:
    right = kafka.broker(USER)
    other_host = right.servers.replace("127.0.0.1", "localhost")
    for wrong, kind, said in (
        (replace(right, password="guess"), Unfit, "does not let toy-service log in: correct CROSSDOCK_KAFKA_USER"),
        (replace(right, mechanism="PLAIN"), Unfit, "or CROSSDOCK_KAFKA_MECHANISM"),
        (replace(right, ca=None), Unfit, "is not trusted: unable to get local issuer certificate: correct CROSSDOCK"),
        (replace(right, servers=other_host), Unfit, "is not trusted: Hostname mismatch"),
        (Broker(right.servers), KafkaConnectionError, "correct CROSSDOCK_KAFKA or CROSSDOCK_KAFKA_PROTOCOL"),
        (replace(right, servers="127.0.0.1:1"), KafkaConnectionError, "127.0.0.1:1 cannot be reached"),
    ):
        with pytest.raises(kind, match=said):
            await check_topics(wrong, [SPEC])
    assert "guess" not in repr(replace(right, password="guess"))


async def test_certificate_is_a_user(kafka: SecuredKafka) -> None:
    await kafka.grant(f"CN={USER}", [Grant("topic", ORDERS, "Describe")])
    kafka.topics.ensure([SPEC])

    async def fits() -> bool:
        try:
            await check_topics(kafka.certified(USER), [SPEC])
        except Unfit as error:
            assert "does not show the user of CROSSDOCK_KAFKA_CERTIFICATE the topic" in str(error)
            return False
        return True

    await eventually(fits)
    assert "PRIVATE" not in repr(kafka.certified(USER))
    with pytest.raises(Unfit, match=f"user of CROSSDOCK_KAFKA_CERTIFICATE the topic {ORDERS}: grant it access"):
        await check_topics(kafka.certified(STRANGER), [SPEC])


async def test_missing_or_unknown_certificate_is_named(kafka: SecuredKafka, tmp_path: Path) -> None:
    right = kafka.certified(USER)
    certify(tmp_path, clients=[USER])
    key, certificate = ((tmp_path / f"{USER}.{kind}").read_text() for kind in ("key", "crt"))
    for wrong, said in (
        (replace(right, key=None, certificate=None), "a client without a certificate"),
        (replace(right, key=key, certificate=certificate), "this client's certificate"),
    ):
        with pytest.raises(Unfit, match=f"refuses {said}: correct CROSSDOCK_KAFKA_CERTIFICATE and CROSSDOCK_KAFKA_KEY"):
            await check_topics(wrong, [SPEC])


async def test_relay_with_nothing_to_publish_needs_no_grant(
    service: Service, kafka: SecuredKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """Kafka lets a user that may write no topic start no producer. analytics-service has such a user."""
    idle = Relay(service.database.dsn, kafka.broker(STRANGER), service.name)
    began = idle.progressed

    async def read() -> bool:
        return idle.progressed > began or bool(caplog.messages)

    with caplog.at_level(logging.WARNING):
        async with running(idle):
            await eventually(read)
    assert caplog.messages == []
