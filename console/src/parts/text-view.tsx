import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { linesOf } from "./text-lines";
import "./text-view.css";

const LINE = 18;
const MOST = 420;

/** Show a text of up to a megabyte. Only the lines in sight are elements of the page. */
export function TextView({ text, label }: { text: string; label: string }) {
  const lines = useMemo(() => linesOf(text), [text]);
  return <LinesView lines={lines} label={label} />;
}

/** Show many short lines. Only the lines in sight are elements of the page. */
export function LinesView({ lines, label }: { lines: readonly string[]; label: string }) {
  const scroller = useRef<HTMLElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE,
    overscan: 10,
  });
  return (
    <section
      className="text-view mono"
      ref={scroller}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
      aria-label={label}
      style={{ height: Math.min(MOST, lines.length * LINE + 16) }}
    >
      <div className="room" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => (
          <div key={item.key} className="line" style={{ transform: `translateY(${item.start}px)` }}>
            {lines[item.index]}
          </div>
        ))}
      </div>
    </section>
  );
}
