"""All metrics. They are declared in this file only, so that the author of a dashboard reads one file.

Durations are in seconds. prometheus_client appends `_total` to the names of counters. Labels are bounded: route
templates, never paths; partitions and states, never keys. Tracing is in `tracing`, logs in `logging`.
"""

from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# HTTP
REQUESTS = Counter("crossdock_http_requests", "Requests answered", ["method", "route", "status"])
LATENCY = Histogram(
    "crossdock_http_request_seconds", "From the first byte to the last", ["method", "route"], buckets=_LATENCY
)
REFUSED = Counter("crossdock_http_refused", "Requests and connections refused before they reached a route", ["problem"])

RATE_LIMITED = Counter("crossdock_rate_limited", "Requests over their partner's limit, answered 429", ["route_group"])
TOO_MANY_AT_ONCE = Counter(
    "crossdock_too_many_at_once",
    "Requests answered 429 because too many of their partner were handled",
    ["route_group"],
)
UNLIMITED = Counter(
    "crossdock_rate_limit_unavailable",
    "Failed queries of a bucket, after which requests pass without a limit",
    ["route_group"],
)

# verbs: commands, reactions and jobs
VERB_SECONDS = Histogram(
    "crossdock_verb_seconds",
    "Duration of one batch: the transaction of a command or a job, the statements of a reaction",
    ["verb", "kind"],
    buckets=_LATENCY,
)
VERB_OUTCOMES = Counter(
    "crossdock_verb_outcomes",
    "Commands answered, events handled and runs of jobs: ok, or the type of the problem",
    ["verb", "outcome"],
)
COMMAND_WAIT = Histogram(
    "crossdock_command_wait_seconds", "From a command's arrival to its transaction", ["verb"], buckets=_LATENCY
)
QUEUE_DEPTH = Gauge("crossdock_queue_depth", "Commands that wait for a unit", ["command"])
BATCH_SIZE = Histogram("crossdock_batch_size", "Commands coalesced into one unit", ["command"], buckets=_BATCH)

# jobs
JOBS_WAITING = Gauge("crossdock_jobs_waiting", "Queued jobs that no worker has begun", ["job"])
JOB_OVERDUE = Gauge("crossdock_job_overdue_seconds", "How long the first due run has waited for a worker", ["job"])
JOB_FAILURES = Gauge("crossdock_job_failures", "Failures since the last success of a job that still runs", ["job"])

# events out
OPTIMISTIC = Counter(
    "crossdock_optimistic_units",
    "Units tried without locks, by outcome: done, or moved if an ordinary unit had to do the work",
    ["verb", "outcome"],
)
OUTBOX_DEPTH = Gauge("crossdock_outbox_depth", "Committed events that Kafka has not acknowledged")
OUTBOX_AGE = Gauge("crossdock_outbox_oldest_seconds", "Age of the oldest event in the outbox; 0 if it is empty")
RELAY_SENT = Counter("crossdock_relay_sent", "Events that Kafka has acknowledged")
RELAY_RESTARTS = Counter("crossdock_relay_restarts", "Producers discarded after a send error or a lost lease")
RELAY_HELD = Gauge("crossdock_relay_held_lanes", "Partitions that Kafka refuses; 1 for a missing topic", ["topic"])

# events in
LAG_MESSAGES = Gauge(
    "crossdock_consumer_lag_messages", "Messages to the end of the partition", ["group", "topic", "partition"]
)
LAG_SECONDS = Gauge(
    "crossdock_consumer_lag_seconds", "Age of the last event handled; 0 without a lag", ["group", "topic", "partition"]
)
GROUP_LAG_SECONDS = Gauge(
    "crossdock_group_lag_seconds", "Age of the oldest unread event as Kafka shows the group; 0 without a lag", ["group"]
)
GROUP_LAG_MESSAGES = Gauge("crossdock_group_lag_messages", "Unread events as Kafka shows the group", ["group"])
CONSUMED = Counter("crossdock_consumer_events", "Events handled", ["group", "topic"])
UNKNOWN_TYPES = Counter("crossdock_consumer_unknown_types", "Events skipped: a type not known here", ["group", "type"])
STOPPED = Gauge(
    "crossdock_consumer_stopped_partitions", "Partitions that wait for a person or a deployment", ["group", "topic"]
)
DEAD_LETTERS = Gauge("crossdock_dead_letters", "Dead letters by state; counted up to 100,000", ["group", "state"])
PARKED_KEYS = Gauge(
    "crossdock_parked_keys", "Keys whose events wait behind a dead letter or a retry; counted up to 100,000", ["group"]
)
BREAKER_OPEN = Gauge(
    "crossdock_consumer_breaker_open", "1 while a group stops, because key after key fails for one reason", ["group"]
)

# effects
EFFECTS_DEPTH = Gauge("crossdock_effects_pending", "Effects that are not yet done; counted up to 100,000", ["kind"])
EFFECTS_AGE = Gauge("crossdock_effects_oldest_seconds", "How long the oldest pending effect has waited", ["kind"])
EFFECTS_GIVEN_UP = Gauge("crossdock_effects_given_up", "Effects given up that no person has resolved", ["kind"])
EFFECT_ATTEMPTS = Counter(
    "crossdock_effect_attempts",
    "Attempts by outcome: done, retry, given_up, overtaken, expired",
    ["kind", "outcome"],
)
EFFECT_CIRCUITS_OPEN = Gauge("crossdock_effect_circuits_open", "Failing targets that get no effects for now", ["kind"])

# the business, as far as every service has it
WAITING_ORDERS = Gauge("crossdock_waiting_orders", "Waiting orders by reason; counted up to 100,000", ["reason"])
LEDGER_DRIFT = Gauge("crossdock_ledger_drift_levels", "Levels that differ from the sum of their movements")
WAITING_OLDEST = Gauge("crossdock_waiting_oldest_seconds", "How long the oldest waiting order has waited", ["reason"])


@cache
def requests(method: str, route: str, status: str) -> Counter:
    """Return the cached child of these labels: `labels()` costs a lock and three strings. The children are few."""
    return REQUESTS.labels(method, route, status)


@cache
def latency(method: str, route: str) -> Histogram:
    return LATENCY.labels(method, route)


@cache
def verb_seconds(verb: str, kind: str) -> Histogram:
    return VERB_SECONDS.labels(verb, kind)


@cache
def verb_outcomes(verb: str, outcome: str) -> Counter:
    return VERB_OUTCOMES.labels(verb, outcome)


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    return generate_latest(registry)
