import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import { useMessages, useTag } from "../messages/language";
import { clock } from "../parts/time";
import type { LiveEvent } from "./event";

const ROW = 34;

/** Show events, newest first. Only the rows in sight are elements of the page. */
export function EventList({ events }: { events: readonly LiveEvent[] }) {
  const m = useMessages();
  const tag = useTag();
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: events.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    getItemKey: (index) => events[events.length - 1 - index]?.cursor ?? index,
    overscan: 8,
  });
  return (
    <div className="events" ref={scroller}>
      <ul className="room" aria-label={m.live.list} style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((row) => {
          const event = events[events.length - 1 - row.index];
          if (event === undefined) return null;
          return (
            <li
              key={row.key}
              aria-setsize={events.length}
              aria-posinset={row.index + 1}
              className="event"
              style={{ transform: `translateY(${row.start}px)`, height: ROW }}
            >
              <span>{clock(event.time, tag)}</span>
              <span>{event.type ?? "—"}</span>
              <span>{event.key ?? "—"}</span>
              <span>{event.topic}</span>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
