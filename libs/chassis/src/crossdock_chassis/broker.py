"""Where Kafka is and how to log in: one value, which every client of Kafka is made of."""

import ssl
from dataclasses import dataclass, field
from functools import cache
from tempfile import NamedTemporaryFile
from typing import Any, Literal

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


@dataclass(frozen=True, slots=True)
class Broker:
    """A Kafka cluster: `AIOKafkaProducer(**broker.options)`.

    `ca`, `certificate` and `key` are PEM text. Without `ca` the system's CAs are trusted.
    """

    servers: str
    protocol: SecurityProtocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.servers

    @property
    def principal(self) -> str:
        """Return how sentences name the user that Kafka sees."""
        return self.user or ("of CROSSDOCK_KAFKA_CERTIFICATE" if self.certificate else "ANONYMOUS")

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments of a client of aiokafka that concern the connection."""
        options: dict[str, Any] = {"bootstrap_servers": self.servers, "security_protocol": self.protocol}
        if self.protocol.startswith("SASL_"):
            options |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user}
            options |= {"sasl_plain_password": self.password}
        if self.protocol.endswith("SSL"):
            options["ssl_context"] = context(self.ca, self.certificate, self.key)
        return options


@cache
def context(ca: str | None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, and shows `certificate` to servers that ask for one.

    Raise SSLError if the two do not belong together. Cached, because reading the system's CAs takes 50 ms.
    """
    made = ssl.create_default_context(cadata=ca)
    if certificate and key:
        with NamedTemporaryFile("w", suffix=".pem") as file:  # OpenSSL reads both from files only
            file.write(f"{key}\n{certificate}")
            file.flush()
            made.load_cert_chain(file.name, password="")  # without one, OpenSSL would ask on the terminal
    return made
