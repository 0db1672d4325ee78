"""The dashboard of Grafana, as `docker-compose.yml` ships it: what people look at first, by service."""

import json
from dataclasses import dataclass
from typing import Any, Final

WIDTH, HEIGHT, ACROSS = 8, 8, 3


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    query: str
    legend: str = "{{job}}"
    unit: str = "short"


PANELS: Final = (
    Panel("Answers a second", "sum by (job) (rate(crossdock_http_requests_total[1m]))", unit="reqps"),
    Panel(
        "Slowest 1 % of answers",
        "histogram_quantile(0.99, sum by (job, le) (rate(crossdock_http_request_seconds_bucket[5m])))",
        unit="s",
    ),
    Panel(
        "Answers 429 and 5xx a second",
        'sum by (job, status) (rate(crossdock_http_requests_total{status=~"429|5.."}[5m]))',
        "{{job}} {{status}}",
        "reqps",
    ),
    Panel("Events published a second", "sum by (job) (rate(crossdock_relay_sent_total[1m]))"),
    Panel("Oldest unpublished event", "max by (job) (crossdock_outbox_oldest_seconds)", unit="s"),
    Panel("Events handled a second", "sum by (group) (rate(crossdock_consumer_events_total[1m]))", "{{group}}"),
    Panel("Consumers behind Kafka", "max by (group) (crossdock_consumer_lag_seconds)", "{{group}}", "s"),
    Panel("Orders that wait", "sum by (reason) (max by (job, reason) (crossdock_waiting_orders))", "{{reason}}"),
    Panel("Oldest order that waits", "max by (reason) (crossdock_waiting_oldest_seconds)", "{{reason}}", "s"),
    Panel(
        "Dead letters and parked keys",
        'max by (group) (crossdock_dead_letters{state="poison"}) or max by (group) (crossdock_parked_keys)',
        "{{group}}",
    ),
    Panel("Mails and other effects that wait", "max by (kind) (crossdock_effects_pending)", "{{kind}}"),
    Panel(
        "Jobs overdue", "max by (job, exported_job) (crossdock_job_overdue_seconds)", "{{job}} {{exported_job}}", "s"
    ),
    Panel("Memory", "sum by (job, instance) (process_resident_memory_bytes)", "{{job}} {{instance}}", "bytes"),
    Panel(
        "Processor",
        "sum by (job, instance) (rate(process_cpu_seconds_total[1m]))",
        "{{job}} {{instance}}",
        "percentunit",
    ),
    Panel("Processes that answer", "sum by (job) (up)"),
)


def dashboard() -> str:
    return json.dumps(
        {
            "uid": "crossdock",
            "title": "Crossdock",
            "timezone": "browser",
            "refresh": "10s",
            "time": {"from": "now-30m", "to": "now"},
            "schemaVersion": 39,
            "panels": [_panel(number, each) for number, each in enumerate(PANELS)],
        },
        indent=1,
    )


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, ACROSS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "expr": panel.query, "legendFormat": panel.legend}],
    }
