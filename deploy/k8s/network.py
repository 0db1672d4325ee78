"""Which connections pods may make and take. Everything else is denied."""

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.k8s.facts import APPLICATION, facts
from deploy.k8s.workloads import Manifest, labels, manifest

INGRESS_NAMESPACE = "ingress-nginx"
MONITORING_NAMESPACE = "monitoring"
HTTPS, POSTGRES, KAFKA, DNS = 443, 5432, 9092, 53


def policies() -> Iterator[Manifest]:
    """Yield the policy that denies everything, then one for each kind of connection.

    Overlays replace the destinations of `postgres`, `kafka` and `issuer`. Here they may be anywhere, on one port.
    """
    yield _policy("default-deny", {}, policyTypes=["Ingress", "Egress"])
    dns = [{"port": DNS, "protocol": protocol} for protocol in ("UDP", "TCP")]
    yield _policy("dns", {}, egress=[{"to": [_namespace("kube-system")], "ports": dns}])
    yield _policy("postgres", _roles("api", "worker", "runner", "migrate"), egress=[{"ports": _tcp(POSTGRES)}])
    yield _policy("kafka", _roles("api", "worker", "topics"), egress=[{"ports": _tcp(KAFKA)}])
    yield _policy("issuer", _roles("api"), egress=[{"ports": _tcp(HTTPS)}])
    yield _policy("http", _roles("api"), ingress=[{"from": [_namespace(INGRESS_NAMESPACE)], "ports": _tcp("http")}])
    yield _policy(
        "ops",
        _roles("api", "worker", "runner"),
        ingress=[{"from": [_namespace(MONITORING_NAMESPACE)], "ports": _tcp("ops")}],
    )
    for each in facts():
        if each.asks_services:
            asking = {"matchLabels": labels(each.name, "api")}
            yield _policy(
                f"{each.name}-asks", asking, egress=[{"to": [{"podSelector": _roles("api")}], "ports": _tcp("http")}]
            )
            yield _policy(
                f"{each.name}-is-answered",
                _roles("api"),
                ingress=[{"from": [{"podSelector": asking}], "ports": _tcp("http")}],
            )
        if each.mail_ports:
            worker = {"matchLabels": labels(each.name, "worker")}
            yield _policy(f"{each.name}-mail", worker, egress=[{"ports": _tcp(*each.mail_ports)}])


def _policy(name: str, pods: Mapping[str, Any], **spec: Any) -> Manifest:
    types = [each.capitalize() for each in spec if each in ("ingress", "egress")]
    own = {"app.kubernetes.io/part-of": APPLICATION}
    return manifest(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        name,
        own,
        spec={"podSelector": dict(pods), **({"policyTypes": types} if types else {}), **spec},
    )


def _roles(*components: str) -> Manifest:
    return {
        "matchLabels": {"app.kubernetes.io/part-of": APPLICATION},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": list(components)}],
    }


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _tcp(*ports: int | str) -> list[Manifest]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
