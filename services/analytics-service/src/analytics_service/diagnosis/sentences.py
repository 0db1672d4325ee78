"""The English sentences of a diagnosis, by code. The console has its own for each language."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

Data = Mapping[str, str | int | float | None]
Sentence = Callable[[Mapping[str, Any]], str]


def time_text(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M:%S} UTC"


def counted(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def _lack(data: Mapping[str, Any]) -> str:
    if "missing" not in data:
        return "stock of items that are not known here"
    more = f" and {counted(data['more'], 'more line')}" if data["more"] else ""
    return f"{counted(data['missing'], 'unit')} of {data['item_id']}{more}"


def _ahead(data: Mapping[str, Any]) -> str:
    most = "" if data["complete"] else "at least "
    orders = counted(data["orders"], "order")
    return f"For {data['item_id']}, {most}{orders} with {counted(data['units'], 'missing unit')} come first."


def _first(data: Mapping[str, Any]) -> str:
    return (
        f"It is the first in the queue for {data['item_id']}; {counted(data['available'], 'unit')} are unreserved now."
    )


def _behind(data: Mapping[str, Any]) -> str:
    return f"{data['service']} has {counted(data['records'], 'record')} to read before the event of this order."


def _log(data: Mapping[str, Any]) -> str:
    late = "an unknown time" if data["seconds"] is None else counted(data["seconds"], "second")
    missing = "records" if data["records"] is None else counted(data["records"], "record")
    return f"The log is {late} late: it has not read the last {missing} of Kafka, so newer events may be missing here."


SENTENCES: Final[Mapping[str, Sentence]] = {
    # what it waits for
    "awaiting_answer": lambda d: f"Waits for the answer of inventory-service since {time_text(d['since'])}.",
    "answer_overdue": lambda d: f"The answer of inventory-service is overdue: it waits since {time_text(d['since'])}.",
    "answer_on_its_way": lambda d: (
        f"inventory-service has decided; order-service has not read it since {time_text(d['since'])}."
    ),
    "waits_for_stock": lambda d: f"Waits for stock since {time_text(d['since'])}: it lacks {_lack(d)}.",
    "waits_for_rest": lambda d: (
        f"Holds a part and waits for the rest since {time_text(d['since'])}: it lacks {_lack(d)}."
    ),
    "stock_withdrawn": lambda d: (
        f"Was confirmed, and lost reserved stock at {time_text(d['since'])}: it lacks {_lack(d)}."
    ),
    "stock_found": lambda d: (
        f"Has all its stock since {time_text(d['since'])}; order-service has not confirmed it yet."
    ),
    "stock_lost": lambda d: (
        f"Is confirmed, but lost reserved stock at {time_text(d['since'])}; order-service does not know yet."
    ),
    "releasing": lambda d: (
        f"Was cancelled at {time_text(d['since'])} ({d['reason']}); inventory-service has not given its stock back yet."
    ),
    "confirmed": lambda d: (
        f"Is confirmed since {time_text(d['since'])}: all stock is reserved, and it waits for nothing."
    ),
    "rejected": lambda d: f"Was rejected at {time_text(d['since'])} ({d['reason']}), and waits for nothing.",
    "cancelled": lambda d: f"Was cancelled at {time_text(d['since'])} ({d['reason']}), and waits for nothing.",
    # why it still waits
    "orders_ahead": _ahead,
    "first_in_queue": _first,
    "item_discontinued": lambda d: f"{d['item_id']} is discontinued, so this order gets no stock of it.",
    "place_unknown": lambda d: "inventory-service does not answer, so the place in its queue is not known.",
    "outbox_blocked": lambda d: (
        f"The outbox of {d['service']} has {counted(d['messages'], 'unsent message')}, the "
        f"oldest for {counted(d['seconds'], 'second')}."
    ),
    "worker_not_running": lambda d: f"No worker of {d['service']} runs, so it sends and reads no events.",
    "reader_silent": lambda d: (
        f"The consumer of {d['service']} does not read: it was last seen at {time_text(d['seen_at'])}."
        if d["seen_at"]
        else f"The consumer of {d['service']} has never read this partition."
    ),
    "reader_stopped": lambda d: (
        f"The consumer of {d['service']} is stopped since {time_text(d['since'])}: {d['reason']}"
    ),
    "reader_behind": _behind,
    "event_parked": lambda d: (
        f"{d['service']} could not handle an event of this order, and keeps it as dead letter {d['id']}: {d['reason']}"
    ),
    "event_retried": lambda d: (
        f"{d['service']} retries an event of this order since {time_text(d['since'])}: {d['reason']}"
    ),
    "log_late": _log,
    # what happens next
    "answer_or_cancelled": lambda d: (
        "inventory-service answers, as a rule within a second. Without an answer "
        f"order-service cancels the order after {time_text(d['at'])}."
    ),
    "cancelled_without_answer": lambda d: "order-service cancels the order, because there is no answer.",
    "answer_read": lambda d: "order-service reads the decision and changes the order.",
    "served_or_expires": lambda d: (
        f"New stock goes to it in its turn. Without enough stock it is cancelled at {time_text(d['at'])}."
    ),
    "served_in_turn": lambda d: "New stock goes to it in its turn.",
    "expires": lambda d: (
        f"It is cancelled at {time_text(d['at'])}." if d["at"] else "It is cancelled when its time is up."
    ),
    "stock_given_back": lambda d: "inventory-service reads the cancellation and gives the stock back.",
    "sent_later": lambda d: f"{d['service']} sends the event as soon as Kafka accepts it.",
    "worker_starts": lambda d: f"It goes on when a worker of {d['service']} runs again.",
    "caught_up": lambda d: (
        f"{d['service']} reaches the event at about {time_text(d['at'])}."
        if d["at"]
        else f"{d['service']} reaches the event; at the present rate no time can be given."
    ),
    "decision_carried_out": lambda d: f"{d['service']} carries out the decision ({d['decision']}) and goes on.",
    "person_decides": lambda d: "Nothing, until a person decides.",
    "retried": lambda d: f"{d['service']} tries again by itself.",
    "nothing": lambda d: "Nothing more happens by itself.",
    # what a person can do
    "cancel": lambda d: "Cancel the order. Its stock goes to other orders.",
    "receive": lambda d: f"Receive {counted(d['missing'], 'unit')} of {d['item_id']}, if they have arrived.",
    "activate": lambda d: f"Make {d['item_id']} active again.",
    "order_anew": lambda d: "The partner can send a corrected order.",
    "park": lambda d: f"Set aside what {d['service']} cannot handle, and let it go on.",
    "skip": lambda d: f"Let {d['service']} skip what it cannot read.",
    "redrive": lambda d: "Handle the event again, once its cause is gone.",
    "discard": lambda d: "Give the event up.",
    "start_worker": lambda d: f"Start a worker of {d['service']}.",
    "check_kafka": lambda d: f"Check that Kafka runs, and read the log of the worker of {d['service']}.",
    # what to know about this diagnosis
    "service_silent": lambda d: f"{d['service']} did not answer ({d['reason']}), so its part is missing here.",
    "status_from_events": lambda d: "order-service did not answer: the status is the one of the events in the log.",
    "events_missing": lambda d: (
        f"The log has the order's events up to {d['have']}, and order-service has {d['version']}."
    ),
    "log_stopped": lambda d: f"The log is stopped since {time_text(d['since'])}, so newer events are missing here.",
    "log_not_running": lambda d: "No worker of analytics-service runs, so newer events are missing here.",
}
