"""The generated files below `deploy/k8s`, each as text."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from deploy.k8s import network, workloads
from deploy.k8s.facts import APPLICATION, NAMESPACE, facts
from deploy.k8s.workloads import Manifest

FOLDER = Path(__file__).parent
HEADER = "Generated from the installed services: `make generate`."


def generated() -> dict[Path, str]:
    """Return the text of each generated file."""
    made = {**_base(), **_dev()}
    return {FOLDER / name: text for name, text in made.items()}


def _base() -> dict[str, str]:
    resources: dict[str, Iterable[Manifest]] = {
        "namespace.yaml": [_namespace()],
        "network.yaml": network.policies(),
        "topics.yaml": [
            workloads.job(APPLICATION, "topics", ["crossdock_cli", "topics", "create"], secret=None),
        ],
        **{f"{each.name}.yaml": workloads.of_service(each) for each in facts()},
    }
    listed = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": list(resources),
    }
    made = {f"base/{name}": documents(each) for name, each in resources.items()}
    return {"base/kustomization.yaml": documents([listed]), **made}


def _namespace() -> Manifest:
    own = {"app.kubernetes.io/part-of": APPLICATION}
    for mode in ("enforce", "audit", "warn"):
        own |= {f"pod-security.kubernetes.io/{mode}": "restricted"}
        own |= {f"pod-security.kubernetes.io/{mode}-version": "latest"}
    return workloads.manifest("v1", "Namespace", NAMESPACE, own)


def _dev() -> dict[str, str]:
    """Return the databases, and the Secrets that name them. The server trusts each pod that may connect to it."""
    folder = "overlays/dev"
    databases = [f"-- {HEADER}"]
    secrets = []
    for each in facts():
        databases += [
            f"CREATE ROLE {each.package} LOGIN;",
            f"CREATE DATABASE {each.package} OWNER {each.package};",
            f"REVOKE CONNECT, TEMPORARY ON DATABASE {each.package} FROM PUBLIC;",
        ]
        address = f"postgresql://{each.package}@postgres:{network.POSTGRES}/{each.package}"
        secrets.append({"name": each.name, "literals": [f"CROSSDOCK_POSTGRES={address}"]})
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configMapGenerator": [{"name": "databases", "files": ["databases.sql"]}],
        "secretGenerator": secrets,
    }
    return {
        f"{folder}/databases/databases.sql": "\n".join(databases) + "\n",
        f"{folder}/databases/kustomization.yaml": documents([component]),
    }


class _Dumper(yaml.SafeDumper):
    """Indent lists, and write no aliases for mappings that occur twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def documents(manifests: Iterable[Mapping[str, Any]]) -> str:
    text = yaml.dump_all(list(manifests), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return f"# {HEADER}\n{text}"
