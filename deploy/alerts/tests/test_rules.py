"""The rules name real metrics, have samples and runbooks, and fire when they should."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import crossdock_chassis

ALERTS = Path(__file__).parents[1]
RULES = ALERTS / "crossdock.rules.yml"
SAMPLES = ALERTS / "crossdock.rules.test.yml"
RUNBOOKS = ALERTS.parents[1] / "docs" / "runbooks"
OF_EXPORTERS = {"up", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"}
OF_PROMETHEUS = {"job", "instance"}
LINK = "{{ $externalLabels.crossdock_docs }}/runbooks/"
HEADINGS = ["What it means", "What to look at", "What to do"]

Rule = dict[str, Any]


def rules() -> list[Rule]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def known() -> dict[str, set[str]]:
    """Return the labels of each metric of our code by the name that Prometheus stores."""
    assert crossdock_chassis  # its import registers the metrics
    found: dict[str, set[str]] = {}
    for collector, names in REGISTRY._collector_to_names.items():
        for name in names:
            found[name] = set(getattr(collector, "_labelnames", ()))
    return found


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Return the metrics of an expression, each with the labels of its selector."""
    found = re.findall(r"\b((?:crossdock|node)_\w+|up)\b(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))) for name, labels in found]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_rule_names_metrics_and_labels_of_our_code(rule: Rule) -> None:
    metrics, used = known(), selectors(rule["expr"])
    assert used
    for name, labels in used:
        if name not in OF_EXPORTERS:
            assert name in metrics, f"{name} does not exist"
            assert labels <= metrics[name] | OF_PROMETHEUS, name
    for grouped in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        own = {label.strip() for label in grouped.split(",")}
        assert own <= OF_PROMETHEUS.union(*(metrics[name] for name, _ in used))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_rule_has_a_runbook_and_samples(rule: Rule) -> None:
    link = rule["annotations"]["runbook_url"]
    assert link.startswith(LINK) and rule["labels"]["severity"] in ("page", "ticket")
    page = (RUNBOOKS / link.removeprefix(LINK)).read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == HEADINGS
    assert f"`{rule['alert']}`" in page
    cases = [case for test in yaml.safe_load(SAMPLES.read_text())["tests"] for case in test["alert_rule_test"]]
    fires = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]}
    assert fires == {True, False}, "samples with and without the alert"


def test_each_runbook_belongs_to_a_rule_and_is_listed() -> None:
    linked = {rule["annotations"]["runbook_url"].removeprefix(LINK) for rule in rules()}
    assert linked == {path.name for path in RUNBOOKS.glob("*.md")} - {"README.md"}
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (RUNBOOKS / "README.md").read_text()))
    assert listed == linked


@pytest.mark.parametrize("arguments", [["check", "rules", RULES.name], ["test", "rules", SAMPLES.name]], ids=" ".join)
def test_promtool_accepts_the_rules_and_their_samples(arguments: list[str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None and "CI" not in os.environ:
        pytest.skip("promtool is not installed: Debian's package prometheus has it")
    assert promtool is not None
    done = subprocess.run([promtool, *arguments], cwd=ALERTS, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
