import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, type RefObject, useEffect, useRef } from "react";
import { Link } from "wouter";
import { usePhone } from "./media";
import { rowHeight } from "./row-height";
import { destination } from "./rows-keys";
import "./rows.css";

export interface Column<Row> {
  name: string;
  header: string;
  cell: (row: Row) => ReactNode;
  /** A track of a CSS grid, such as `8rem` or `minmax(0, 2fr)`. */
  width: string;
  numeric?: boolean;
}

interface Props<Row> {
  label: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  /** Where the first cell of a row links to. */
  hrefOf?: (row: Row) => string;
  selected?: string | undefined;
  /** Called when the end of the list comes into sight. */
  onEnd?: (() => void) | undefined;
  /** Called with whether the first row is in sight. */
  onTop?: ((top: boolean) => void) | undefined;
  /** The element that scrolls. */
  scroller?: RefObject<HTMLDivElement | null>;
}

/** From this distance to the top on, the first row counts as out of sight. */
const TOP = 36;
const NEAR_END = 10;

/**
 * Show rows as a table, or as cards on a phone. Only the rows in sight are elements of the page.
 *
 * The first cell is a link. Arrow keys, Home and End move from link to link, also to rows that are out of sight.
 */
export function Rows<Row>({
  label,
  rows,
  columns,
  keyOf,
  hrefOf,
  selected,
  onEnd,
  onTop,
  scroller: given,
}: Props<Row>) {
  const phone = usePhone();
  const own = useRef<HTMLDivElement>(null);
  const scroller = given ?? own;
  const size = rowHeight(phone, columns.length);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => size,
    getItemKey: (index) => {
      const row = rows[index];
      return row === undefined ? index : keyOf(row);
    },
    overscan: 8,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new size makes all measured sizes invalid
  useEffect(() => virtual.measure(), [size, virtual]);

  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (onEnd !== undefined && rows.length > 0 && last >= rows.length - NEAR_END) onEnd();
  }, [last, rows.length, onEnd]);

  const move = (event: KeyboardEvent<HTMLDivElement>) => {
    const at = Number((event.target as HTMLElement).closest("li")?.dataset["index"] ?? Number.NaN);
    const to = destination(event.key, at, rows.length);
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    virtual.scrollToIndex(to);
    focusSoon(scroller.current, to);
  };

  const tracks = columns.map((column) => column.width).join(" ");
  return (
    <div className="rows">
      {!phone && (
        <div className="head" aria-hidden="true" style={{ gridTemplateColumns: tracks }}>
          {columns.map((column) => (
            <span key={column.name} className={column.numeric ? "numeric" : undefined}>
              {column.header}
            </span>
          ))}
        </div>
      )}
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the keys move the focus between the links inside */}
      <div
        className="scroller"
        ref={scroller}
        tabIndex={hrefOf === undefined ? 0 : undefined} // without links, the keys can only scroll the list itself
        onKeyDown={move}
        onScroll={onTop && (() => onTop((scroller.current?.scrollTop ?? 0) < TOP))}
      >
        <ul aria-label={label} style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            const key = keyOf(row);
            return (
              <li
                key={item.key}
                data-index={item.index}
                aria-setsize={rows.length}
                aria-posinset={item.index + 1}
                aria-current={key === selected ? "true" : undefined}
                className={phone ? "card" : "row"}
                style={{
                  transform: `translateY(${item.start}px)`,
                  height: phone ? size - 8 : size,
                  ...(phone ? {} : { gridTemplateColumns: tracks }),
                }}
              >
                {columns.map((column, index) => (
                  <span key={column.name} className={column.numeric ? "numeric" : undefined}>
                    <span className={phone ? "name" : "unseen"}>{column.header} </span>
                    {index === 0 && hrefOf !== undefined ? (
                      <Link href={hrefOf(row)} className="whole">
                        {column.cell(row)}
                      </Link>
                    ) : (
                      column.cell(row)
                    )}
                  </span>
                ))}
              </li>
            );
          })}
        </ul>
      </div>
    </div>
  );
}

/** Focus the link of a row that may become an element only with the next frame. */
function focusSoon(scroller: HTMLElement | null, index: number, tries = 5): void {
  const link = scroller?.querySelector<HTMLElement>(`li[data-index="${index}"] a`);
  if (link) link.focus({ preventScroll: true });
  else if (tries > 0) requestAnimationFrame(() => focusSoon(scroller, index, tries - 1));
}
