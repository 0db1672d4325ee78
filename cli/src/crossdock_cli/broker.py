"""How commands reach Kafka: the addresses of the installation, and the variables CROSSDOCK_KAFKA_… of the services."""

from typing import TYPE_CHECKING

from crossdock_cli.errors import CommandError

if TYPE_CHECKING:
    from crossdock_chassis import Broker


def broker(addresses: str | None = None) -> "Broker":
    """Return the broker at these addresses, or else at those of CROSSDOCK_KAFKA.

    Raise CommandError if one of the variables is not usable.
    """
    from crossdock_chassis import KafkaSettings, load  # noqa: PLC0415  (slow, and most commands do not need it)

    try:
        return load(KafkaSettings, **({"kafka": addresses} if addresses else {})).broker
    except SystemExit as error:
        raise CommandError(str(error)) from None
