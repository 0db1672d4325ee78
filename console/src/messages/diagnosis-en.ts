import type { AnalyticsSchemas } from "../api/client";

/** The data of a sentence as texts: `number` and `time` have the form of the language, and a zone. */
export interface Told {
  text: (name: string) => string;
  number: (name: string) => string;
  time: (name: string) => string;
  one: (name: string) => boolean;
  /** Whether it is there, and neither null, false nor zero. */
  has: (name: string) => boolean;
}

export type DiagnosisCode =
  | AnalyticsSchemas["What"]["code"]
  | AnalyticsSchemas["Why"]["code"]
  | AnalyticsSchemas["Next"]["code"]
  | AnalyticsSchemas["Action"]["code"]
  | AnalyticsSchemas["Note"]["code"];

const many = (d: Told, name: string, one: string, more = `${one}s`) => `${d.number(name)} ${d.one(name) ? one : more}`;

const lacks = (d: Told) =>
  d.has("missing")
    ? `${many(d, "missing", "unit")} of ${d.text("item_id")}${d.has("more") ? ` and ${many(d, "more", "more line")}` : ""}`
    : "stock of items that are not known here";

export const diagnosisEn: Record<DiagnosisCode, (d: Told) => string> = {
  awaiting_answer: (d) => `Waits for the answer of inventory-service since ${d.time("since")}.`,
  answer_overdue: (d) => `The answer of inventory-service is overdue: the order waits since ${d.time("since")}.`,
  answer_on_its_way: (d) => `inventory-service has decided. order-service has not read it since ${d.time("since")}.`,
  waits_for_stock: (d) => `Waits for stock since ${d.time("since")}. It lacks ${lacks(d)}.`,
  waits_for_rest: (d) => `Holds a part, and waits for the rest since ${d.time("since")}. It lacks ${lacks(d)}.`,
  stock_withdrawn: (d) => `Was confirmed, and lost reserved stock at ${d.time("since")}. It lacks ${lacks(d)}.`,
  stock_found: (d) => `Has all its stock since ${d.time("since")}. order-service has not confirmed it yet.`,
  stock_lost: (d) =>
    `Is confirmed, but lost reserved stock at ${d.time("since")}. order-service has not read of it yet.`,
  releasing: (d) => `Was cancelled at ${d.time("since")}. inventory-service has not given its stock back yet.`,
  confirmed: (d) => `Is confirmed since ${d.time("since")}. All stock is reserved, and it waits for nothing.`,
  rejected: (d) => `Was rejected at ${d.time("since")} (${d.text("reason")}), and waits for nothing.`,
  cancelled: (d) => `Was cancelled at ${d.time("since")} (${d.text("reason")}), and waits for nothing.`,

  orders_ahead: (d) =>
    `For ${d.text("item_id")}, ${d.has("complete") ? "" : "at least "}${many(d, "orders", "order")} with ${many(d, "units", "missing unit")} come first.`,
  first_in_queue: (d) =>
    `It is the first in the queue for ${d.text("item_id")}; ${many(d, "available", "unit is", "units are")} unreserved now.`,
  item_discontinued: (d) => `${d.text("item_id")} is discontinued, so this order gets no stock of it.`,
  place_unknown: () => "inventory-service does not answer, so the place in its queue is not known.",
  outbox_blocked: (d) =>
    `The outbox of ${d.text("service")} has ${many(d, "messages", "unsent message")}, the oldest for ${many(d, "seconds", "second")}.`,
  worker_not_running: (d) => `No worker of ${d.text("service")} runs, so it sends and reads no events.`,
  reader_silent: (d) =>
    d.has("seen_at")
      ? `The consumer of ${d.text("service")} does not read. It was last seen at ${d.time("seen_at")}.`
      : `The consumer of ${d.text("service")} has never read this partition.`,
  reader_stopped: (d) =>
    `The consumer of ${d.text("service")} is stopped since ${d.time("since")}: ${d.text("reason")}`,
  reader_behind: (d) =>
    `${d.text("service")} has ${many(d, "records", "record")} to read before the event of this order.`,
  event_parked: (d) =>
    `${d.text("service")} could not handle an event of this order, and keeps it as dead letter ${d.text("id")}: ${d.text("reason")}`,
  event_retried: (d) =>
    `${d.text("service")} retries an event of this order since ${d.time("since")}: ${d.text("reason")}`,
  log_late: (d) =>
    `The log is ${d.has("seconds") ? many(d, "seconds", "second") : "an unknown time"} late, so newer events may be missing here.`,

  answer_or_cancelled: (d) =>
    `inventory-service answers, as a rule within a second. Without an answer the order is cancelled after ${d.time("at")}.`,
  cancelled_without_answer: () => "order-service cancels the order, because there is no answer.",
  answer_read: () => "order-service reads the decision and changes the order.",
  served_or_expires: (d) =>
    `New stock goes to it in its turn. Without enough stock it is cancelled at ${d.time("at")}.`,
  served_in_turn: () => "New stock goes to it in its turn.",
  expires: (d) => (d.has("at") ? `It is cancelled at ${d.time("at")}.` : "It is cancelled when its time is up."),
  stock_given_back: () => "inventory-service reads the cancellation and gives the stock back.",
  sent_later: (d) => `${d.text("service")} sends the event as soon as Kafka accepts it.`,
  worker_starts: (d) => `It goes on when a worker of ${d.text("service")} runs again.`,
  caught_up: (d) =>
    d.has("at")
      ? `${d.text("service")} reaches the event at about ${d.time("at")}.`
      : `${d.text("service")} reaches the event; at the present rate no time can be given.`,
  decision_carried_out: (d) => `${d.text("service")} carries out the decision (${d.text("decision")}) and goes on.`,
  person_decides: () => "Nothing, until a person decides.",
  retried: (d) => `${d.text("service")} tries again by itself.`,
  nothing: () => "Nothing more happens by itself.",

  cancel: () => "Cancel the order. Its stock goes to other orders.",
  receive: (d) => `Receive ${many(d, "missing", "unit")} of ${d.text("item_id")}, if they have arrived.`,
  activate: (d) => `Make ${d.text("item_id")} active again.`,
  order_anew: () => "The partner can send a corrected order.",
  park: (d) => `Set aside what ${d.text("service")} cannot handle, and let it go on.`,
  skip: (d) => `Let ${d.text("service")} skip what it cannot read.`,
  redrive: () => "Handle the event again, once its cause is gone.",
  discard: () => "Give the event up.",
  start_worker: (d) => `Start a worker of ${d.text("service")}.`,
  check_kafka: (d) => `Check that Kafka runs, and read the log of the worker of ${d.text("service")}.`,

  service_silent: (d) => `${d.text("service")} did not answer (${d.text("reason")}), so its part is missing here.`,
  status_from_events: () => "order-service did not answer: the status is the one of the events in the log.",
  events_missing: (d) =>
    `The log has the events of the order up to ${d.number("have")}, and order-service has ${d.number("version")}.`,
  log_stopped: (d) => `The log is stopped since ${d.time("since")}, so newer events are missing here.`,
  log_not_running: () => "No worker of analytics-service runs, so newer events are missing here.",
};
