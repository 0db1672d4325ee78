import type { LiveEvent } from "./event";

/** Rows that the page keeps. An event takes about 2 kB here, so a full list takes 10 MB. */
export const KEPT = 5_000;

/** The events of the page: pure data, so that pausing can be tested without a browser. */
export interface Feed {
  /** Oldest first, at most KEPT. */
  readonly shown: readonly LiveEvent[];
  /** Events that arrived while the list is held, oldest first. */
  readonly waiting: readonly LiveEvent[];
  readonly held: boolean;
}

export const EMPTY: Feed = { shown: [], waiting: [], held: false };

export function received(feed: Feed, events: readonly LiveEvent[]): Feed {
  if (events.length === 0) return feed;
  if (feed.held) return { ...feed, waiting: [...feed.waiting, ...events] };
  return { ...feed, shown: newest([...feed.shown, ...events]) };
}

/** Return whether a held list has so many waiting events that the stream must close. It continues at its cursor later. */
export function full(feed: Feed): boolean {
  return feed.waiting.length >= KEPT;
}

export function hold(feed: Feed): Feed {
  return feed.held ? feed : { ...feed, held: true };
}

export function release(feed: Feed): Feed {
  return feed.held ? { shown: newest([...feed.shown, ...feed.waiting]), waiting: [], held: false } : feed;
}

function newest(events: readonly LiveEvent[]): readonly LiveEvent[] {
  return events.length > KEPT ? events.slice(-KEPT) : events;
}
