import { useState } from "react";
import type { AnalyticsSchemas } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { type Column, Rows } from "../parts/rows";
import { Section } from "../parts/sections";
import { moment } from "../parts/time";
import { TimePlot } from "../parts/time-plot";
import { useLag } from "./lag";

type Point = AnalyticsSchemas["LagPoint"];

/** The lag of a group over the last hour, as a plot and as a table. A gap is a time at which the lag was not known. */
export function LagPlot({ group, points }: { group: string; points: readonly Point[] }) {
  const m = useMessages();
  const tag = useTag();
  const lag = useLag();
  const columns: Column<Point>[] = [
    { name: "at", header: m.stock.time, width: "14rem", cell: (each) => moment(each.at, tag) },
    { name: "lag", header: m.consumers.lag, width: "8rem", numeric: true, cell: (each) => lag.records(each.lag) },
    {
      name: "seconds",
      header: m.consumers.lagSeconds,
      width: "8rem",
      numeric: true,
      cell: (each) => lag.seconds(each.lag_seconds),
    },
  ];
  const newest = points.toReversed();
  const [open, setOpen] = useState(false);
  return (
    <Section title={m.consumers.history(group)}>
      {points.length < 2 ? (
        <p className="none">{m.consumers.noHistory}</p>
      ) : (
        <>
          <TimePlot
            label={m.consumers.history(group)}
            unit={m.consumers.lag}
            points={points.map((each) => [Date.parse(each.at), each.lag] as const)}
          />
          <details className="as-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
            <summary>{m.consumers.asTable}</summary>
            {open && (
              <div>
                <Rows label={m.consumers.history(group)} rows={newest} columns={columns} keyOf={(each) => each.at} />
              </div>
            )}
          </details>
        </>
      )}
    </Section>
  );
}
