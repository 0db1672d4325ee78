"""Which connections pods may make and take. Everything else is denied."""

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.k8s.facts import APPLICATION, facts
from deploy.k8s.workloads import Manifest, labels, manifest

INGRESS_NAMESPACE = "ingress-nginx"
MONITORING_NAMESPACE = "monitoring"
HTTPS, POSTGRES, KAFKA, DNS = 443, 5432, 9092, 53
USES_POSTGRES = ("api", "worker", "runner", "migrate")
USES_KAFKA = ("api", "worker", "topics")


def policies() -> Iterator[Manifest]:
    """Yield the policy that denies everything, then one for each kind of connection.

    Overlays replace the destinations of `postgres`, `kafka` and `issuer`. Here they may be anywhere, on one port.
    """
    yield policy("default-deny", {}, policyTypes=["Ingress", "Egress"])
    dns = [{"port": DNS, "protocol": protocol} for protocol in ("UDP", "TCP")]
    yield policy("dns", {}, egress=[{"to": [namespace("kube-system")], "ports": dns}])
    yield policy("postgres", roles(*USES_POSTGRES), egress=[{"ports": tcp(POSTGRES)}])
    yield policy("kafka", roles(*USES_KAFKA), egress=[{"ports": tcp(KAFKA)}])
    yield policy("issuer", roles("api"), egress=[{"ports": tcp(HTTPS)}])
    yield policy("http", roles("api"), ingress=[{"from": [namespace(INGRESS_NAMESPACE)], "ports": tcp("http")}])
    yield policy(
        "ops",
        roles("api", "worker", "runner"),
        ingress=[{"from": [namespace(MONITORING_NAMESPACE)], "ports": tcp("ops")}],
    )
    for each in facts():
        if each.asks_services:
            asking = {"matchLabels": labels(each.name, "api")}
            yield policy(
                f"{each.name}-asks", asking, egress=[{"to": [{"podSelector": roles("api")}], "ports": tcp("http")}]
            )
            yield policy(
                f"{each.name}-is-answered",
                roles("api"),
                ingress=[{"from": [{"podSelector": asking}], "ports": tcp("http")}],
            )
        if each.mail_ports:
            worker = {"matchLabels": labels(each.name, "worker")}
            yield policy(f"{each.name}-mail", worker, egress=[{"ports": tcp(*each.mail_ports.values())}])


def policy(name: str, pods: Mapping[str, Any], **spec: Any) -> Manifest:
    types = [each.capitalize() for each in spec if each in ("ingress", "egress")]
    own = {"app.kubernetes.io/part-of": APPLICATION}
    return manifest(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        name,
        own,
        spec={"podSelector": dict(pods), **({"policyTypes": types} if types else {}), **spec},
    )


def roles(*components: str) -> Manifest:
    return {
        "matchLabels": {"app.kubernetes.io/part-of": APPLICATION},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": list(components)}],
    }


def namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def tcp(*ports: int | str) -> list[Manifest]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
