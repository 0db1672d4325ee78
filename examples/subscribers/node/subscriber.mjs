// Follow the orders topic with @platformatic/kafka and the CloudEvents SDK. See ../README.md for the rules it keeps.
import { Consumer } from "@platformatic/kafka";
import { Kafka } from "cloudevents";
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";

const handled = new Set(
  ["Placed", "Confirmed", "Backordered", "Rejected", "Cancelled"].map((done) => `crossdock.Order${done}`),
);
const version = "v1";
const most = 500;

// The effects, one line each. The line is also what repeats are found by, so both are stored together.
class Journal {
  last = new Map();

  constructor(path) {
    const content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    this.end = content.lastIndexOf("\n") + 1; // a killed process can leave half a line
    for (const line of content.subarray(0, this.end).toString().split("\n")) {
      const [key, sequence] = line.split("\t");
      if (sequence) this.last.set(key, BigInt(sequence));
    }
    this.file = openSync(path, existsSync(path) ? "r+" : "w");
    ftruncateSync(this.file, this.end);
  }

  append(lines) {
    if (lines.length === 0) return;
    this.end += writeSync(this.file, lines.map((line) => `${line}\n`).join(""), this.end);
    fsyncSync(this.file);
  }
}

// Returns the line of an event, or null if there is nothing to do.
function handle(message, journal) {
  const place = `${message.topic}/${message.partition}/${message.offset}`;
  let key, type, sequence, reference;
  try {
    // The SDK wants text headers, and accepts records without a sequence.
    const event = Kafka.toEvent({ ...message, headers: Object.fromEntries(message.headers), value: message.value });
    ({ subject: key, type } = event);
    sequence = BigInt(event.sequence);
    const order = typeof event.data === "string" ? JSON.parse(event.data) : event.data;
    if (order === null || typeof order !== "object" || Array.isArray(order)) throw new Error("the data is no object");
    ({ reference } = order);
  } catch (error) {
    console.error(`skipped ${place}: no CloudEvent: ${error.message}`);
    return null;
  }
  const dot = type.lastIndexOf(".");
  if (!handled.has(type.slice(0, dot))) return null;
  if (type.slice(dot + 1) !== version) throw new Error(`stopped at ${place}: ${type} is newer than this program`);
  if (sequence <= (journal.last.get(key) ?? 0n)) return null;
  journal.last.set(key, sequence);
  return [key, sequence, type, reference].join("\t");
}

const text = (bytes) => bytes?.toString();
const journal = new Journal(process.env.JOURNAL ?? "orders.journal");
const consumer = new Consumer({
  clientId: "my-subscriber",
  groupId: process.env.GROUP ?? "my-subscriber",
  bootstrapBrokers: (process.env.CROSSDOCK_KAFKA ?? "127.0.0.1:8492").split(","),
  sessionTimeout: 10_000, // a killed member's partitions go to another member after this time
  heartbeatInterval: 3_000,
  deserializers: { key: text, value: text, headerKey: text, headerValue: text },
});
const stream = await consumer.consume({
  topics: [process.env.CROSSDOCK_TOPIC ?? "crossdock.orders.v1"],
  mode: "committed",
  fallbackMode: "earliest",
  autocommit: false,
});
let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    stopping = true;
    stream.destroy();
  });
}

async function keep(batch) {
  const lines = batch.map((message) => handle(message, journal)).filter((line) => line !== null);
  journal.append(lines);
  const next = new Map(batch.map(({ topic, partition, offset }) => [partition, { topic, partition, offset }]));
  // After the effects: a killed program gets the records again.
  await consumer.commit({
    offsets: [...next.values()].map((each) => ({ ...each, offset: each.offset + 1n, leaderEpoch: 0 })),
  });
  for (const line of lines) console.log(line);
}

try {
  let batch = [];
  for await (const message of stream) {
    batch.push(message);
    if (stream.readableLength > 0 && batch.length < most && !stopping) continue;
    await keep(batch);
    batch = [];
  }
} catch (error) {
  if (!stopping) {
    console.error(error.message);
    process.exitCode = 1;
  }
} finally {
  await consumer.close(true); // leaves the group, so that another member takes over at once
  closeSync(journal.file);
}
