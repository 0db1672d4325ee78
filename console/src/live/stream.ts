import { Problem, problemOf } from "../api/problem";
import { eventOf, type LiveEvent, leftOf } from "./event";
import { EMPTY, type Feed, full, hold, received, release } from "./feed";
import { Parser } from "./sse";

export type Status = "connecting" | "open" | "searching" | "retrying" | "waiting" | "hidden" | "behind" | "failed";

export interface View {
  feed: Feed;
  status: Status;
  /** Records that a search in older ones still has to look at. */
  left: number | undefined;
  error: Problem | undefined;
}

/** The list is drawn at most this often, because a draw for each of 500 events a second would keep the page busy. */
const DRAW_MS = 250;
const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000] as const;

/**
 * Follow the stream at `address(cursor, since)` and call the subscribed listeners after each change.
 *
 * It reads with fetch, because EventSource hides the status and the problem of a refused stream. After a lost
 * connection it continues behind the last event. It closes the stream while the tab is hidden, because a browser opens
 * six connections to a host in all tabs together.
 */
export class LiveStream {
  #view: View = { feed: EMPTY, status: "connecting", left: undefined, error: undefined };
  readonly #listeners = new Set<() => void>();
  #arrived: LiveEvent[] = [];
  #cursor: string | undefined;
  #reading: AbortController | undefined;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #draw: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly address: (cursor: string | undefined, since: string | undefined) => string,
    private since: string | undefined,
  ) {}

  readonly view = (): View => this.#view;

  /** Follow the stream while anybody listens. */
  readonly subscribe = (listener: () => void): (() => void) => {
    if (this.#listeners.size === 0) this.#start();
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  };

  /** Let the list stay as it is. Later events wait. */
  readonly hold = (): void => this.#show({ feed: hold(this.#flushed()) });

  readonly release = (): void => {
    this.#show({ feed: release(this.#flushed()) });
    if (this.#view.status === "waiting") this.#connect();
  };

  /** Try again after a failure. */
  readonly again = (): void => {
    this.#failures = 0;
    this.#connect();
  };

  /** Go on with what happens from now on, because the events behind the cursor are out of reach. */
  readonly fromNow = (): void => {
    this.#cursor = undefined;
    this.since = undefined;
    this.again();
  };

  #start(): void {
    document.addEventListener("visibilitychange", this.#seen);
    this.#connect();
  }

  #stop(): void {
    document.removeEventListener("visibilitychange", this.#seen);
    this.#disconnect();
  }

  readonly #seen = (): void => {
    if (document.hidden && this.#reading !== undefined) {
      this.#disconnect();
      this.#show({ feed: this.#flushed(), status: "hidden" });
    } else if (!document.hidden && this.#view.status === "hidden") this.#connect();
  };

  #connect(): void {
    this.#disconnect();
    if (document.hidden || full(this.#view.feed)) {
      this.#show({ status: document.hidden ? "hidden" : "waiting" });
      return;
    }
    this.#show({ status: this.#failures > 0 ? "retrying" : "connecting", error: undefined });
    const reading = new AbortController();
    this.#reading = reading;
    this.#read(reading.signal).then(
      () => this.#lost(reading),
      (error: unknown) => this.#lost(reading, error),
    );
  }

  #disconnect(): void {
    this.#reading?.abort();
    this.#reading = undefined;
    clearTimeout(this.#retry);
  }

  async #read(signal: AbortSignal): Promise<void> {
    const headers = { Accept: "text/event-stream" };
    const answer = await fetch(this.address(this.#cursor, this.since), { headers, signal, cache: "no-store" });
    if (!answer.ok || answer.body === null) throw await problemOf(answer);
    this.#show({ status: "open", left: undefined });
    const parser = new Parser();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      this.#failures = 0;
      this.#take(parser, value);
    }
  }

  #take(parser: Parser, chunk: string): void {
    for (const message of parser.push(chunk)) {
      if (message.event === "message") {
        const event = eventOf(message.id, message.data);
        if (event !== undefined) this.#arrived.push(event);
        if (this.#view.status === "searching") this.#show({ status: "open", left: undefined });
      } else if (message.event === "searching") this.#show({ status: "searching", left: leftOf(message.data) });
      else if (message.event === "behind") {
        this.#disconnect();
        this.#show({ feed: this.#flushed(), status: "behind" });
      }
    }
    if (parser.lastId !== "") this.#cursor = parser.lastId;
    this.#draw ??= setTimeout(this.#drawn, DRAW_MS);
  }

  readonly #drawn = (): void => {
    this.#draw = undefined;
    if (this.#arrived.length > 0) this.#show({ feed: this.#flushed() });
    if (full(this.#view.feed) && this.#reading !== undefined) {
      this.#disconnect();
      this.#show({ feed: this.#flushed(), status: "waiting" });
    }
  };

  /** Return the feed with the events that arrived after the last draw. */
  #flushed(): Feed {
    clearTimeout(this.#draw);
    this.#draw = undefined;
    const arrived = this.#arrived;
    this.#arrived = [];
    return received(this.#view.feed, arrived);
  }

  #lost(reading: AbortController, error?: unknown): void {
    if (this.#reading !== reading) return;
    this.#reading = undefined;
    const feed = this.#flushed();
    if (error instanceof Problem && error.status < 500 && error.status !== 429) {
      this.#show({ feed, status: "failed", error });
      return;
    }
    const delay = RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)] ?? 0;
    this.#failures += 1;
    this.#show({ feed, status: "retrying" });
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  #show(change: Partial<View>): void {
    this.#view = { ...this.#view, ...change };
    for (const listener of this.#listeners) listener();
  }
}
