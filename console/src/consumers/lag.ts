import { useMessages, useTag } from "../messages/language";
import { count } from "../parts/number";
import type { Column } from "../parts/rows";

interface Lag {
  lag: number | null;
  lag_seconds: number | null;
  rate: number | null;
}

/** Write lags and rates. A figure that is not known is never shown as zero. */
export function useLag() {
  const m = useMessages();
  const tag = useTag();
  const seconds = (value: number | null) =>
    value === null ? m.states.unknown : m.consumers.seconds(count(Math.round(value), tag));
  const records = (value: number | null) => (value === null ? m.states.unknown : count(value, tag));
  const rate = (value: number | null) => (value === null ? m.states.unknown : count(Math.round(value * 10) / 10, tag));
  /** The columns that all lists of groups and partitions have. */
  const columns = <Row extends Lag>(): Column<Row>[] => [
    { name: "lag", header: m.consumers.lag, width: "6rem", numeric: true, cell: (each) => records(each.lag) },
    {
      name: "seconds",
      header: m.consumers.lagSeconds,
      width: "6rem",
      numeric: true,
      cell: (each) => seconds(each.lag_seconds),
    },
    { name: "rate", header: m.consumers.rate, width: "6rem", numeric: true, cell: (each) => rate(each.rate) },
  ];
  return { seconds, records, columns };
}
