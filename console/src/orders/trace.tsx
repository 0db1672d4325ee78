import { useQuery } from "@tanstack/react-query";
import { type AnalyticsSchemas, analyticsService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { duration } from "../parts/duration";
import { type Column, Rows } from "../parts/rows";
import { Section } from "../parts/sections";
import { Failure, Loading } from "../parts/states";
import { precise } from "../parts/time";
import { shortType } from "../parts/type-name";

type Step = AnalyticsSchemas["Step"];

const WIDTH = 100;

/** Show how an order went through the services: each record with its time in Kafka, and in the reaction and its outbox. */
export function OrderTrace({ id, version }: { id: string; version: number }) {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["trace", id, version],
    queryFn: ({ signal }) =>
      read(analyticsService.GET("/v1/orders/{order_id}/trace", { params: { path: { order_id: id } }, signal })),
    placeholderData: (before) => before,
    refetchInterval: (of) => ((of.state.data?.steps.length ?? 0) === 0 ? 1_000 : 10_000),
  });
  const trace = query.data;
  const longest = Math.max(1, ...(trace?.steps ?? []).map((step) => (step.in_kafka_ms ?? 0) + (step.to_kafka_ms ?? 0)));
  const columns: Column<Step>[] = [
    {
      name: "event",
      header: m.orders.event,
      width: "minmax(10rem, 1fr)",
      cell: (step) => shortType(step.type ?? undefined) ?? m.orders.noEvent,
    },
    { name: "source", header: m.live.source, width: "10rem", cell: (step) => step.source ?? "—" },
    { name: "time", header: m.orders.reached, width: "14rem", cell: (step) => precise(step.kafka_time, tag) },
    {
      name: "waited",
      header: m.orders.inKafka,
      width: "7rem",
      numeric: true,
      cell: (step) => duration(step.in_kafka_ms, tag),
    },
    {
      name: "sent",
      header: m.orders.toKafka,
      width: "7rem",
      numeric: true,
      cell: (step) => duration(step.to_kafka_ms, tag),
    },
    { name: "bar", header: m.orders.share, width: "8rem", cell: (step) => <Bar step={step} longest={longest} /> },
    { name: "note", header: m.orders.marks, width: "minmax(7rem, 1fr)", cell: (step) => marks(step) || "—" },
  ];
  const marks = (step: Step) =>
    [
      step.repeat && m.orders.repeat,
      step.dead_letter && m.orders.deadLetter,
      step.clocks && m.orders.clocks(step.clocks.of, step.clocks.than, duration(step.clocks.milliseconds, tag)),
    ]
      .filter(Boolean)
      .join("; ");
  const title =
    trace?.total_ms == null ? m.orders.trace : `${m.orders.trace}: ${m.orders.took(duration(trace.total_ms, tag))}`;
  const missing = trace !== undefined && (trace.gaps.length > 0 || trace.more);
  return (
    <>
      <Section title={title} list={{ rows: trace?.steps.length ?? 1, columns: columns.length }}>
        {trace !== undefined ? (
          <Rows
            label={m.orders.trace}
            rows={trace.steps}
            columns={columns}
            keyOf={(step) => step.cursor}
            hrefOf={(step) => `/live?${new URLSearchParams({ order_id: id, from: "30d", event: step.cursor })}`}
          />
        ) : query.error ? (
          <Failure error={query.error} again={() => void query.refetch()} />
        ) : (
          <Loading />
        )}
      </Section>
      {missing && (
        <Section>
          {trace.gaps.map((gap) => (
            <p key={`${gap.source} ${gap.topic} ${gap.first}`} className="stale">
              {m.orders.gap(gap.source, gap.topic, gap.first, gap.last)}
            </p>
          ))}
          {trace.more && <p className="none">{m.orders.moreRecords}</p>}
        </Section>
      )}
    </>
  );
}

/** Draw both times of a step. The columns beside it have the figures. */
function Bar({ step, longest }: { step: Step; longest: number }) {
  const waited = ((step.in_kafka_ms ?? 0) / longest) * WIDTH;
  const sent = ((step.to_kafka_ms ?? 0) / longest) * WIDTH;
  return (
    <svg className="share" viewBox={`0 0 ${WIDTH} 10`} preserveAspectRatio="none" aria-hidden="true">
      <rect className="in-kafka" x={0} y={0} width={waited} height={10} />
      <rect className="to-kafka" x={waited} y={0} width={sent} height={10} />
    </svg>
  );
}
