"""Rules for what operators read: scaling, monitoring, hosts, and the servers that they run."""

from collections.abc import Iterator

from deploy.k8s.facts import APPLICATION, facts
from deploy.k8s.operators import STREAM_SECONDS
from deploy.k8s.policy import COMPONENT, NAME, Manifests, of_kind, ours, rule
from deploy.k8s.workloads import Manifest

from crossdock_events import CATALOGUE

ALLOWED = {"Write", "Read", "Describe"}


@rule
def workers_scale_by_lag(manifests: Manifests) -> Iterator[str]:
    """Require that a scaled worker has at most a pod for each partition, and scales by its own lag."""
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in of_kind(manifests, "ScaledObject")}
    for each in facts() if scaled else ():
        spec = scaled.get(f"{each.name}-worker", {"triggers": []})
        read = {topic for subscription in each.service.subscriptions() for topic in subscription.topics}
        partitions = max(topic.partitions for topic in CATALOGUE.topics() if topic.name in read)
        queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
        own = [one for one in queries if f'crossdock_consumer_lag_messages{{job="{each.name}"}}' in one]
        if spec.get("maxReplicaCount") != partitions or spec.get("minReplicaCount", 0) < 2 or len(own) != 1:
            yield f"the worker of {each.name} does not scale by its lag up to {partitions}"


@rule
def processes_are_scraped(manifests: Manifests) -> Iterator[str]:
    """Require that Prometheus reads the ops port of each process. The alerts need the service as the job."""
    monitors = of_kind(manifests, "PodMonitor")
    for name, labels, _ in ours(of_kind(manifests, "Deployment")) if monitors else ():
        own = [each["spec"] for each in monitors if each["spec"]["selector"]["matchLabels"].items() <= labels.items()]
        ports = [(each["jobLabel"], end["port"], end["path"]) for each in own for end in each["podMetricsEndpoints"]]
        if ports != [(NAME, "ops", "/metrics")]:
            yield f"{name} is not scraped once, on its ops port, as its service"


@rule
def hosts_lead_to_apis(manifests: Manifests) -> Iterator[str]:
    """Require a host with TLS for each api, and only its `/v1`, except for the service that has the console."""
    hosts = {each["metadata"]["name"]: each for each in of_kind(manifests, "Ingress")}
    for each in facts() if hosts else ():
        if each.name not in hosts:
            yield f"{each.name} has no host"
            continue
        spec = hosts[each.name]["spec"]
        (only,) = spec["rules"]
        found = {(path["path"], path["backend"]["service"]["name"]) for path in only["http"]["paths"]}
        ports = {path["backend"]["service"]["port"]["name"] for path in only["http"]["paths"]}
        wanted = "/" if each.has_console else "/v1"
        if found != {(wanted, each.name)} or ports != {"http"}:
            yield f"the host of {each.name} leads to {found} and {ports}"
        if [only["host"]] != [host for each in spec["tls"] for host in each["hosts"]] or "." not in only["host"]:
            yield f"the host of {each.name} has no certificate"
    if len({each["spec"]["rules"][0]["host"] for each in hosts.values()}) != len(hosts):
        yield "two services share a host"


@rule
def streams_pass_the_proxy(manifests: Manifests) -> Iterator[str]:
    """Require that the proxy neither keeps the events of a stream back, nor closes a silent stream."""
    wanted = {"proxy-read-timeout": str(STREAM_SECONDS), "proxy-buffering": "off"}
    streaming = {each.name for each in facts() if each.streams}
    for each in of_kind(manifests, "Ingress"):
        annotations = each["metadata"].get("annotations", {})
        found = {key: annotations.get(f"nginx.ingress.kubernetes.io/{key}") for key in wanted}
        if each["metadata"]["name"] in streaming and found != wanted:
            yield f"the streams of {each['metadata']['name']} end at the proxy"


@rule
def users_of_kafka_do_what_is_declared(manifests: Manifests) -> Iterator[str]:
    """Require that a user writes only topics of its service, reads only declared ones, and uses only its own groups."""
    users = {each["metadata"]["name"]: each["spec"] for each in of_kind(manifests, "KafkaUser")}
    for each in facts() if users else ():
        acls = users.get(each.name, {}).get("authorization", {}).get("acls", [])
        if not acls:
            yield f"{each.name} has no user"
        may: dict[str, set[str]] = {"Write": set(), "Read": set()}
        for acl in acls:
            resource, operations = acl["resource"], {*acl["operations"]}
            if not operations <= ALLOWED:
                yield f"{each.name} may {sorted(operations - ALLOWED)} {resource['name']}"
            if resource["type"] == "group":
                if resource["name"] != each.name and operations != {"Describe"}:
                    yield f"{each.name} may use the group {resource['name']}"
            elif resource["patternType"] != "literal":
                if each.service.log is None or operations != {"Read"}:
                    yield f"{each.name} may use all topics {resource['name']}*"
            else:
                for operation in operations & may.keys():
                    may[operation].add(resource["name"])
        read = {topic for subscription in each.service.subscriptions() for topic in subscription.topics}
        if may["Read"] != read or may["Write"] != {topic.name for topic in each.written}:
            yield f"{each.name} reads {sorted(may['Read'])} and writes {sorted(may['Write'])}"


@rule
def topics_are_kept(manifests: Manifests) -> Iterator[str]:
    """Require the partitions and settings of the catalogue, on three brokers of which two must have each event."""
    found = {each["metadata"]["name"]: each["spec"] for each in of_kind(manifests, "KafkaTopic")}
    for topic in [topic for each in facts() for topic in each.written] if found else ():
        wanted = {"partitions": topic.partitions, "replicas": 3, "config": dict(topic.config)}
        if found.get(topic.name) != wanted:
            yield f"{topic.name} is {found.get(topic.name)}"
    for each in of_kind(manifests, "Kafka"):
        spec = each["spec"]["kafka"]
        if spec["config"].get("min.insync.replicas") != 2:
            yield "an event may be on one broker only"
        if spec.get("authorization") != {"type": "simple"}:
            yield "Kafka lets everyone in"
        for listener in spec["listeners"]:
            if not listener.get("tls") or listener.get("authentication", {}).get("type") != "scram-sha-512":
                yield f"the listener {listener['name']} takes anyone, or in plain text"


@rule
def processes_log_in_to_kafka(manifests: Manifests) -> Iterator[str]:
    """Require that processes use Kafka as the user of their service, if Strimzi runs it."""
    for name, labels, pod in ours(manifests) if of_kind(manifests, "KafkaUser") else ():
        variables = {each["name"]: each for each in pod["containers"][0].get("env", ())}
        wanted = {"CROSSDOCK_KAFKA_PROTOCOL": "SASL_SSL", "CROSSDOCK_KAFKA_USER": labels[NAME]}
        found = {key: variables.get(key, {}).get("value") for key in wanted}
        own = f"kafka-{labels[NAME]}" in _projected(pod) and "CROSSDOCK_KAFKA_PASSWORD_FILE" in variables
        if labels[COMPONENT] in ("api", "worker") and not (found == wanted and own):
            yield f"{name} does not log in to Kafka as its service"


def _projected(pod: Manifest) -> list[str]:
    """Return the names of the Secrets with keys among the files of the pod."""
    volumes = [each["projected"]["sources"] for each in pod.get("volumes", ()) if "projected" in each]
    return [source["secret"]["name"] for sources in volumes for source in sources]


@rule
def databases_belong_to_their_service(manifests: Manifests) -> Iterator[str]:
    """Require a role, a database and a password of its own for each service, if CloudNativePG runs PostgreSQL.

    Its certificate must be checked.
    """
    owners = {each["spec"]["name"]: each["spec"]["owner"] for each in of_kind(manifests, "Database")}
    for cluster in of_kind(manifests, "Cluster"):
        secrets = {each["name"]: each["passwordSecret"]["name"] for each in cluster["spec"]["managed"]["roles"]}
        for each in facts():
            if owners.get(each.package) != each.package or secrets.get(each.package) != f"postgres-{each.name}":
                yield f"{each.name} has no database, or no role with a password of its own"
        packages = {each.name: each.package for each in facts()}
        for name, labels, pod in ours(manifests):
            variables = {each["name"]: each for each in pod["containers"][0].get("env", ())}
            package = packages.get(labels[NAME], "")
            address = variables.get("CROSSDOCK_POSTGRES", {}).get("value", "")
            password = variables.get("POSTGRES_PASSWORD", {}).get("valueFrom", {}).get("secretKeyRef", {}).get("name")
            mine = (
                f"//{package}:$(POSTGRES_PASSWORD)@" in address and f":5432/{package}?sslmode=verify-full&" in address
            )
            if labels[NAME] != APPLICATION and not (mine and password == f"postgres-{labels[NAME]}"):
                yield f"{name} does not use the database of its service"
