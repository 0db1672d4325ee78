"""Where Kafka is and how to log in: one value, which every client of Kafka is made of."""

import ssl
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


@dataclass(frozen=True, slots=True)
class Broker:
    """A Kafka cluster: `AIOKafkaProducer(**broker.options)`. `ca` is PEM text; None stands for the system's CAs."""

    servers: str
    protocol: SecurityProtocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.servers

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments of a client of aiokafka that concern the connection."""
        options: dict[str, Any] = {"bootstrap_servers": self.servers, "security_protocol": self.protocol}
        if self.protocol.startswith("SASL_"):
            options |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user}
            options |= {"sasl_plain_password": self.password}
        if self.protocol.endswith("SSL"):
            options["ssl_context"] = _context(self.ca)
        return options


@cache
def _context(ca: str | None) -> ssl.SSLContext:
    """Return a context that checks certificate and host name. Cached, because reading the system's CAs takes 50 ms."""
    return ssl.create_default_context(cadata=ca)
