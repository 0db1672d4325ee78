"""The processes of a service: Deployments, the Job that migrates its database, and what belongs to them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from deploy.k8s.facts import APPLICATION, IMAGE, SETTINGS, Facts, facts

Manifest = dict[str, Any]

USER: Final = 10001
PRE_STOP_SECONDS: Final = 3
"""Load balancers go on sending for a moment. A rolling restart without this pause lost 2 to 5 of 327 requests."""
END_SECONDS: Final = 30
"""What a process takes at most after its drain: it closes its connections, exports spans, and exits."""
JOB_SECONDS: Final = 600
"""A finished Job stays this long. Its template cannot change, so it must be gone before the next version is applied."""
API_REPLICAS: Final = (2, 6)
SECRETS_FOLDER: Final = "/etc/crossdock/secrets"

# docs/performance.md: an api takes 93 MiB at rest and 144 MiB under load, a worker 120 MiB. An import adds 100 MiB for
# its parser, and a runner has a child of 304 MiB. A process has one busy thread, so two cores never throttle it.
RESOURCES: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "api": {"requests": {"cpu": "250m", "memory": "192Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}},
    "worker": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "768Mi"}},
    "runner": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
    "job": {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}},
}


def labels(name: str, component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/part-of": APPLICATION,
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/component": component,
    }


def manifest(version: str, kind: str, name: str, own: Mapping[str, str], /, **rest: object) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": dict(own)}, **rest}


def of_service(service: Facts) -> Iterator[Manifest]:
    """Yield the manifests of a service: its Deployments first, its migration last."""
    for role in service.roles:
        own = labels(service.name, role)
        yield _deployment(service, role)
        yield _budget(f"{service.name}-{role}", own)
        if role == "api":
            yield _autoscaler(f"{service.name}-{role}", own)
            port = {"name": "http", "port": service.http_port, "targetPort": "http", "appProtocol": "http"}
            yield manifest("v1", "Service", service.name, own, spec={"selector": own, "ports": [port]})
    yield job(service.name, "migrate", [service.package, "migrate"])


def job(name: str, component: str, arguments: Sequence[str]) -> Manifest:
    """Return a Job that runs the image once. A failed pod stays, so that its log can be read."""
    own = labels(name, component)
    container: Manifest = {
        "name": component,
        "args": list(arguments),
        "resources": RESOURCES["job"],
        **_common(),
    }
    pod = {**_pod(container, name), "restartPolicy": "Never"}
    spec = {
        "backoffLimit": 6,
        "ttlSecondsAfterFinished": JOB_SECONDS,
        "template": {"metadata": {"labels": own}, "spec": pod},
    }
    return manifest("batch/v1", "Job", f"{name}-{component}", own, spec=spec)


def _deployment(service: Facts, role: str) -> Manifest:
    own, settings = labels(service.name, role), service.service.settings
    ports = [{"name": "ops", "containerPort": service.ops_port}]
    container: Manifest = {
        "name": role,
        "args": [service.package, role],
        "ports": ports,
        "resources": RESOURCES[role],
        "startupProbe": _probe("/livez", period=2, failures=150),
        "livenessProbe": _probe("/livez", period=10, failures=3),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        **_common(),
    }
    grace = settings.unready_seconds + settings.drain_seconds + END_SECONDS
    if role == "api":
        ports.insert(0, {"name": "http", "containerPort": service.http_port})
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}
        grace += PRE_STOP_SECONDS
        if service.asks_services:
            addresses = {each.name: f"http://{each.name}:{each.http_port}" for each in facts()}
            container["env"].append({"name": "CROSSDOCK_SERVICES", "value": json.dumps(addresses)})
    pod = {
        **_pod(container, service.name),
        "terminationGracePeriodSeconds": math.ceil(grace),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": own},
                "matchLabelKeys": ["pod-template-hash"],
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
    }
    # Without `replicas`, so that applying the manifest again does not undo what an autoscaler or a person has set.
    spec = {
        "selector": {"matchLabels": own},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": own}, "spec": pod},
    }
    return manifest("apps/v1", "Deployment", f"{service.name}-{role}", own, spec=spec)


def _pod(container: Manifest, secret: str) -> Manifest:
    """Return a pod that may read the Secret. A process names each setting that is missing, if the Secret is."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "secrets", "secret": {"secretName": secret, "optional": True, "defaultMode": 0o440}},
        ],
    }


def _common() -> Manifest:
    """Return what all containers share. Secrets are files, because variables are shown by `kubectl exec … env`."""
    return {
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "CROSSDOCK_SECRETS", "value": SECRETS_FOLDER}],
        "envFrom": [{"configMapRef": {"name": SETTINGS}}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "secrets", "mountPath": SECRETS_FOLDER, "readOnly": True},
        ],
    }


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    """Return a probe of the ops port, which itself answers within 2 seconds."""
    return {
        "httpGet": {"path": path, "port": "ops"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _budget(name: str, own: Mapping[str, str]) -> Manifest:
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": dict(own)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return manifest("policy/v1", "PodDisruptionBudget", name, own, spec=spec)


def _autoscaler(name: str, own: Mapping[str, str]) -> Manifest:
    fewest, most = API_REPLICAS
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": fewest,
        "maxReplicas": most,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "700m"}},
            }
        ],
    }
    return manifest("autoscaling/v2", "HorizontalPodAutoscaler", name, own, spec=spec)
