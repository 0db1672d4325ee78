"""A real Kafka with TLS, passwords (SCRAM-SHA-512) and access control lists."""

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crossdock_chassis import Broker
from crossdock_chassis.messaging.grants import Grant
from crossdock_cli.topics import Topics
from crossdock_local.layout import Home, write
from crossdock_local.ports import HOST, Ports
from crossdock_local.servers.kafka import SETTINGS, Kafka

ADMIN: Final = "admin"
PASSWORD: Final = "correct horse"
CA: Final = "a CA of tests"
PEM: Final = serialization.Encoding.PEM
RESOURCES: Final = {"topic": 2, "group": 3}
OPERATIONS: Final = {"Read": 3, "Write": 4, "Describe": 8}
SECURED: Final = """
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \\
  required username="{admin}" password="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
listener.name.ssl.ssl.client.auth=required
"""
"""The listener of the controller is on loopback without a login, so its users are anonymous."""


def certify(folder: Path, name: str = HOST, clients: Iterable[str] = ()) -> str:
    """Write `ca.pem`, and `server.pem` with the key and the certificate of a server. Return the CA's certificate.

    Each of `clients` gets a `.key` and a `.crt` by its name.
    """
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate(CA, authority.public_key(), authority, x509.BasicConstraints(True, 0))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
    (folder / "ca.pem").write_bytes(ca.public_bytes(PEM))
    key, own = _pair(folder / "server", server, _certificate(name, server.public_key(), authority, address))
    (folder / "server.pem").write_bytes(key + own)
    for each in clients:
        private = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        _pair(folder / each, private, _certificate(each, private.public_key(), authority, usage))
    return ca.public_bytes(PEM).decode()


def _pair(path: Path, private: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> tuple[bytes, bytes]:
    key = private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    own = certificate.public_bytes(PEM)
    path.with_suffix(".key").write_bytes(key)
    path.with_suffix(".crt").write_bytes(own)
    return key, own


def _certificate(name: str, key: Any, issuer_key: Any, extension: x509.ExtensionType) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CA)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


class SecuredKafka(Kafka):
    """A broker of its own. Each of `users` has PASSWORD and at first no rights."""

    def __init__(self, root: Path, downloads: Path, users: Sequence[str]) -> None:
        ports = Ports.free()
        home = Home(root)
        home.make()
        super().__init__(home, ports.of("kafka"), ports.of("kafka-controller"), downloads)
        self.mutual = f"{HOST}:{ports.of('kafka-mutual')}"
        self.ca = certify(root, clients=users)
        self.format_options = [
            option
            for user in (ADMIN, *users)
            for option in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]")
        ]
        self.topics = Topics(**self.broker(ADMIN).options)

    def broker(self, user: str, password: str = PASSWORD) -> Broker:
        return Broker(self.bootstrap, "SASL_SSL", "SCRAM-SHA-512", user, password, self.ca)

    def certified(self, user: str) -> Broker:
        """Return the listener that wants a certificate. Kafka calls this user `CN=user`."""
        key, certificate = ((self._home.root / f"{user}.{kind}").read_text() for kind in ("key", "crt"))
        return Broker(self.mutual, "SSL", ca=self.ca, certificate=certificate, key=key)

    def environment(self, user: str) -> dict[str, str]:
        """Return the settings of a service with this user."""
        return {
            "CROSSDOCK_KAFKA": self.bootstrap,
            "CROSSDOCK_KAFKA_PROTOCOL": "SASL_SSL",
            "CROSSDOCK_KAFKA_USER": user,
            "CROSSDOCK_KAFKA_PASSWORD": PASSWORD,
            "CROSSDOCK_KAFKA_CA": str(self._home.root / "ca.pem"),
        }

    async def grant(self, user: str, grants: Iterable[Grant]) -> None:
        admin = AIOKafkaAdminClient(**self.broker(ADMIN).options)
        await admin.start()
        try:
            for each in grants:
                what = RESOURCES[each.resource], each.name, 4 if each.prefixed else 3
                request = CreateAclsRequest(*what, f"User:{user}", "*", OPERATIONS[each.operation], 3)
                answer: Any = await admin._send_request(request)
                assert [code for code, _ in answer.creation_responses] == [0], answer
        finally:
            await admin.close()

    def _settings(self, folder: Path, data: Path) -> Path:
        file = super()._settings(folder, data)
        plain = SETTINGS.format(host=HOST, port=self.port, controller=self.controller_port, data=data)
        secured = plain.replace("=PLAINTEXT:PLAINTEXT,", "=SASL_SSL:SASL_SSL,SSL:SSL,")
        secured = secured.replace(f"PLAINTEXT://{self.bootstrap}", f"SASL_SSL://{self.bootstrap},SSL://{self.mutual}")
        own = SECURED.format(admin=ADMIN, password=PASSWORD, folder=self._home.root)
        write(file, secured + own)
        return file
