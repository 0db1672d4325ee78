"""Manifests for operators that a cluster may have: KEDA, the Prometheus operator, and an ingress controller."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from deploy.k8s.facts import APPLICATION, DOMAIN, Facts, facts
from deploy.k8s.network import MONITORING_NAMESPACE
from deploy.k8s.workloads import Manifest, labels, manifest

LAG_OF_A_WORKER: Final = 1_000
"""Unread events per worker, above which another one is started. A worker handles about as many in a second."""
STREAM_SECONDS: Final = 3_600
ALERTS: Final = Path(__file__).parents[1] / "alerts" / "crossdock.rules.yml"
OWN: Final = {"app.kubernetes.io/part-of": APPLICATION}


def scaled_workers() -> Iterator[Manifest]:
    """Yield a ScaledObject for each worker. More workers than partitions would have nothing to read.

    The lag comes from the metrics of the workers: consumer groups of projections change their names with each rebuild.
    """
    for each in facts():
        name = f"{each.name}-worker"
        lag = f'max by (group, topic, partition) (crossdock_consumer_lag_messages{{job="{each.name}"}})'
        trigger = {
            "serverAddress": f"http://prometheus-operated.{MONITORING_NAMESPACE}:9090",
            "query": f"sum({lag})",
            "threshold": str(LAG_OF_A_WORKER),
            "ignoreNullValues": "true",
        }
        spec = {
            "scaleTargetRef": {"name": name},
            "minReplicaCount": 2,
            "maxReplicaCount": each.partitions,
            "triggers": [{"type": "prometheus", "metadata": trigger}],
        }
        yield manifest("keda.sh/v1alpha1", "ScaledObject", name, labels(each.name, "worker"), spec=spec)


def monitors() -> Iterator[Manifest]:
    """Yield the monitor of all ops ports, and the alerts. The alerts need the name of the service as `job`."""
    spec = {
        "jobLabel": "app.kubernetes.io/name",
        "selector": {"matchLabels": OWN},
        "podMetricsEndpoints": [{"port": "ops", "path": "/metrics"}],
    }
    yield manifest("monitoring.coreos.com/v1", "PodMonitor", APPLICATION, OWN, spec=spec)
    rules = yaml.load(ALERTS.read_text(), Loader=yaml.CSafeLoader)
    yield manifest("monitoring.coreos.com/v1", "PrometheusRule", APPLICATION, OWN, spec=rules)


def ingresses() -> Iterator[Manifest]:
    """Yield an Ingress for each service, on a host of its own: several services have `/v1/orders` or `/v1/imports`."""
    for each in facts():
        host = f"{each.name}.{DOMAIN}"
        backend = {"service": {"name": each.name, "port": {"name": "http"}}}
        paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in _paths(each)]
        spec = {
            "ingressClassName": "nginx",
            "tls": [{"hosts": [host], "secretName": f"{each.name}-tls"}],
            "rules": [{"host": host, "http": {"paths": paths}}],
        }
        made = manifest("networking.k8s.io/v1", "Ingress", each.name, labels(each.name, "api"), spec=spec)
        made["metadata"]["annotations"] = {
            f"nginx.ingress.kubernetes.io/{key}": value for key, value in _annotations(each).items()
        }
        yield made


def _paths(service: Facts) -> list[str]:
    """Return the paths to publish: those of the API, or all if the service has the console."""
    return ["/"] if service.has_console else ["/v1"]


def _annotations(service: Facts) -> dict[str, str]:
    found = {"proxy-body-size": str(service.max_body_bytes)}
    if service.streams:
        # A stream is silent for seconds, and each event must arrive at once.
        found |= {
            "proxy-read-timeout": str(STREAM_SECONDS),
            "proxy-send-timeout": str(STREAM_SECONDS),
            "proxy-buffering": "off",
        }
    return found
