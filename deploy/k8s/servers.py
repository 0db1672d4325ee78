"""Kafka by Strimzi and PostgreSQL by CloudNativePG: topics, users, roles and databases of the installed services."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from deploy.k8s.facts import APPLICATION, NAMESPACE, facts
from deploy.k8s.network import KAFKA, POSTGRES, USES_KAFKA, USES_POSTGRES, namespace, policy, roles, tcp
from deploy.k8s.workloads import Manifest, manifest

BROKERS: Final = 3
OWN: Final = {"app.kubernetes.io/part-of": f"{APPLICATION}-servers"}
CLUSTER: Final = APPLICATION
OF_CLUSTER: Final = OWN | {"strimzi.io/cluster": CLUSTER}
KAFKA_PODS: Final = {"matchLabels": {"strimzi.io/cluster": CLUSTER}}
POSTGRES_CLUSTER: Final = "crossdock-db"
POSTGRES_PODS: Final = {"matchLabels": {"cnpg.io/cluster": POSTGRES_CLUSTER}}
LOCALE: Final = {
    "encoding": "UTF8",
    "localeCollate": "C",
    "localeCType": "C",
    "localeProvider": "builtin",
    "builtinLocale": "C.UTF-8",
}
CLOUDNATIVE_PG_NAMESPACE: Final = "cnpg-system"
KAFKA_FOLDER: Final = "/etc/crossdock/kafka"
POSTGRES_FOLDER: Final = "/etc/crossdock/postgres"


def kafka() -> Iterator[Manifest]:
    """Yield a cluster that takes only users with a password, over TLS. Strimzi adds the policy for its listener."""
    version = "kafka.strimzi.io/v1"
    storage = {
        "type": "jbod",
        "volumes": [{"id": 0, "type": "persistent-claim", "size": "100Gi", "kraftMetadata": "shared"}],
    }
    resources = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
    pool = {"replicas": BROKERS, "roles": ["controller", "broker"], "storage": storage, "resources": resources}
    yield manifest(version, "KafkaNodePool", "brokers", OF_CLUSTER, spec=pool)
    listener = {
        "name": "scram",
        "port": KAFKA,
        "type": "internal",
        "tls": True,
        "authentication": {"type": "scram-sha-512"},
        "networkPolicyPeers": [{"podSelector": roles(*USES_KAFKA)}],
    }
    config = {
        "auto.create.topics.enable": False,
        "default.replication.factor": BROKERS,
        "min.insync.replicas": BROKERS - 1,
        "offsets.topic.replication.factor": BROKERS,
        "transaction.state.log.replication.factor": BROKERS,
        "transaction.state.log.min.isr": BROKERS - 1,
    }
    spec = {
        "kafka": {"listeners": [listener], "authorization": {"type": "simple"}, "config": config},
        # A user's Secret has the name of the user. Without the prefix, it would be the one with the service's settings.
        "entityOperator": {"topicOperator": {}, "userOperator": {"secretPrefix": "kafka-"}},
    }
    yield manifest(version, "Kafka", CLUSTER, OWN, spec=spec)
    for topic in sorted((spec for each in facts() for spec in each.written), key=lambda each: each.name):
        own = {"partitions": topic.partitions, "replicas": BROKERS, "config": dict(topic.config)}
        yield manifest(version, "KafkaTopic", topic.name, OF_CLUSTER, spec=own)
    for each in facts():
        acls = [
            {
                "resource": {
                    "type": grant.resource,
                    "name": grant.name,
                    "patternType": "prefix" if grant.prefixed else "literal",
                },
                "operations": [grant.operation],
            }
            for grant in each.service.grants()
        ]
        user = {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": acls},
        }
        yield manifest(version, "KafkaUser", each.name, OF_CLUSTER, spec=user)
    # Brokers reach each other, and the operators the API of Kubernetes.
    yield policy("strimzi", KAFKA_PODS, egress=[{}])


def kafka_settings() -> Iterator[Manifest]:
    """Yield a patch for each process that uses Kafka: it logs in as the user of its service."""
    for each in facts():
        variables = {
            "CROSSDOCK_KAFKA_PROTOCOL": "SASL_SSL",
            "CROSSDOCK_KAFKA_USER": each.name,
            "CROSSDOCK_KAFKA_PASSWORD_FILE": f"{KAFKA_FOLDER}/password",
            "CROSSDOCK_KAFKA_CA": f"{KAFKA_FOLDER}/ca.crt",
        }
        login = _files(
            "kafka", KAFKA_FOLDER, {f"kafka-{each.name}": "password", f"{CLUSTER}-cluster-ca-cert": "ca.crt"}
        )
        for role in ("api", "worker"):
            yield _patch("Deployment", f"{each.name}-{role}", role, _values(variables), login)


def postgres() -> Iterator[Manifest]:
    """Yield a cluster of three servers, and for each service a role with a password and a database."""
    version = "postgresql.cnpg.io/v1"
    accounts = [
        {"name": each.package, "login": True, "passwordSecret": {"name": f"postgres-{each.name}"}} for each in facts()
    ]
    spec = {
        "instances": 3,
        "imageName": "ghcr.io/cloudnative-pg/postgresql:18",
        "bootstrap": {"initdb": LOCALE},
        "storage": {"size": "100Gi"},
        "postgresql": {"parameters": {"max_connections": "500", "shared_buffers": "1GB"}},
        "resources": {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"cpu": "4", "memory": "4Gi"}},
        "managed": {"roles": accounts},
    }
    yield manifest(version, "Cluster", POSTGRES_CLUSTER, OWN, spec=spec)
    for each in facts():
        database = {"cluster": {"name": POSTGRES_CLUSTER}, "name": each.package, "owner": each.package}
        yield manifest(version, "Database", each.name, OWN, spec=database)
    clients = {"from": [{"podSelector": roles(*USES_POSTGRES)}], "ports": tcp(POSTGRES)}
    others = [{"podSelector": POSTGRES_PODS}, namespace(CLOUDNATIVE_PG_NAMESPACE)]
    # Servers replicate from each other, and the operator asks each for its status.
    yield policy("cloudnative-pg", POSTGRES_PODS, egress=[{}], ingress=[clients, {"from": others}])


def postgres_settings() -> Iterator[Manifest]:
    """Yield a patch for each process of a service: the password is in the Secret of its role."""
    for each in facts():
        server = f"{each.package}:$(POSTGRES_PASSWORD)@{POSTGRES_CLUSTER}-rw:{POSTGRES}/{each.package}"
        checked = f"sslmode=verify-full&sslrootcert={POSTGRES_FOLDER}/ca.crt"
        password = {"secretKeyRef": {"name": f"postgres-{each.name}", "key": "password"}}
        variables = [
            {"name": "POSTGRES_PASSWORD", "valueFrom": password},
            *_values({"CROSSDOCK_POSTGRES": f"postgresql://{server}?{checked}"}),
        ]
        authority = _files("postgres", POSTGRES_FOLDER, {f"{POSTGRES_CLUSTER}-ca": "ca.crt"})
        for role in each.roles:
            yield _patch("Deployment", f"{each.name}-{role}", role, variables, authority)
        yield _patch("Job", f"{each.name}-migrate", "migrate", variables, authority)


def _values(variables: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _files(name: str, folder: str, keys: Mapping[str, str]) -> tuple[Manifest, Manifest]:
    """Return a volume with one key of each Secret, and where it is mounted."""
    sources = [{"secret": {"name": secret, "items": [{"key": key, "path": key}]}} for secret, key in keys.items()]
    volume = {"name": name, "projected": {"defaultMode": 0o440, "sources": sources}}
    return volume, {"name": name, "mountPath": folder, "readOnly": True}


def _patch(
    kind: str, name: str, container: str, variables: Iterable[Manifest], files: tuple[Manifest, Manifest]
) -> Manifest:
    version = "batch/v1" if kind == "Job" else "apps/v1"
    volume, mount = files
    pod = {
        "containers": [{"name": container, "env": list(variables), "volumeMounts": [mount]}],
        "volumes": [volume],
    }
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"template": {"spec": pod}},
    }
