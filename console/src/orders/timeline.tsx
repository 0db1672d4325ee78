import { useQuery } from "@tanstack/react-query";
import { type OrderSchemas, orderService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { type Column, Rows } from "../parts/rows";
import { Section } from "../parts/sections";
import { Failure, Loading } from "../parts/states";
import { precise } from "../parts/time";
import { shortType } from "../parts/type-name";

type Entry = OrderSchemas["Entry"];

/** Show the events of an order. A new `version` of the order reads them again. */
export function OrderTimeline({ id, version }: { id: string; version: number }) {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["timeline", id, version],
    queryFn: ({ signal }) =>
      read(orderService.GET("/v1/orders/{order_id}/timeline", { params: { path: { order_id: id } }, signal })),
    placeholderData: (old) => old,
  });
  const columns: Column<Entry>[] = [
    { name: "event", header: m.orders.event, width: "minmax(9rem, 1fr)", cell: (entry) => shortType(entry.type) },
    { name: "sequence", header: m.orders.sequence, width: "3rem", numeric: true, cell: (entry) => entry.sequence },
    { name: "time", header: m.orders.time, width: "14rem", cell: (entry) => precise(entry.time, tag) },
    {
      name: "because",
      header: m.orders.because,
      width: "minmax(9rem, 1fr)",
      cell: (entry) => (entry.because.type ? shortType(entry.because.type) : m.orders.kinds[entry.because.kind]),
    },
    {
      name: "reason",
      header: m.orders.reason,
      width: "minmax(6rem, 1fr)",
      cell: (entry) => [entry.reason, entry.note].filter(Boolean).join(": ") || "—",
    },
  ];
  const events = query.data?.events;
  return (
    <Section title={m.orders.timeline} list={{ rows: events?.length ?? 1, columns: columns.length }}>
      {events !== undefined ? (
        <Rows
          label={m.orders.timeline}
          rows={events}
          columns={columns}
          keyOf={(entry) => entry.id}
          hrefOf={(entry) => `/live?${new URLSearchParams({ order_id: id, from: "30d", event: entry.id })}`}
        />
      ) : query.error ? (
        <Failure error={query.error} again={() => void query.refetch()} />
      ) : (
        <Loading />
      )}
    </Section>
  );
}
