import { Problem, problemOf } from "../api/problem";
import { eventOf, type LiveEvent } from "./event";
import { EMPTY, type Feed, full, hold, received, release } from "./feed";
import { Parser } from "./sse";

export type Status = "connecting" | "open" | "retrying" | "waiting" | "hidden" | "failed";

export interface View {
  feed: Feed;
  status: Status;
  error: Problem | undefined;
}

/** The list is drawn at most this often, because a draw for each of 500 events a second would keep the page busy. */
const DRAW_MS = 100;
const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000] as const;

/**
 * Follow the stream of events behind `address(cursor)`, and tell `subscribe`rs about changes.
 *
 * It reads with fetch, because EventSource hides the status and the problem of a refused stream. After a lost
 * connection it continues behind the last event. It closes the stream while the tab is hidden, because a browser opens
 * six connections to a host in all tabs together.
 */
export class LiveStream {
  #view: View = { feed: EMPTY, status: "connecting", error: undefined };
  readonly #listeners = new Set<() => void>();
  #arrived: LiveEvent[] = [];
  #cursor: string | undefined;
  #reading: AbortController | undefined;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #draw: ReturnType<typeof setTimeout> | undefined;
  #started = false;

  constructor(private readonly address: (cursor: string | undefined) => string) {}

  readonly view = (): View => this.#view;

  /** Follow the stream while anybody listens. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#start();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  };

  readonly hold = (): void => this.#show({ feed: hold(this.#flushed()) });

  readonly release = (): void => {
    this.#show({ feed: release(this.#flushed()) });
    if (this.#view.status === "waiting") this.#connect();
  };

  readonly again = (): void => {
    this.#failures = 0;
    this.#connect();
  };

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    document.addEventListener("visibilitychange", this.#seen);
    this.#connect();
  }

  #stop(): void {
    this.#started = false;
    document.removeEventListener("visibilitychange", this.#seen);
    this.#disconnect();
  }

  readonly #seen = (): void => {
    if (document.hidden) {
      this.#disconnect();
      this.#show({ feed: this.#flushed(), status: "hidden" });
    } else if (this.#view.status === "hidden") this.#connect();
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
    const answer = await fetch(this.address(this.#cursor), { headers, signal, cache: "no-store" });
    if (!answer.ok || answer.body === null) throw await problemOf(answer);
    this.#show({ status: "open" });
    const parser = new Parser();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      this.#failures = 0;
      for (const message of parser.push(value)) {
        if (message.id !== "") this.#cursor = message.id;
        const event = eventOf(message);
        if (event !== undefined) this.#arrived.push(event);
      }
      this.#draw ??= setTimeout(this.#drawn, DRAW_MS);
    }
  }

  readonly #drawn = (): void => {
    this.#draw = undefined;
    this.#show({ feed: this.#flushed() });
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
