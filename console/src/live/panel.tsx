import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef } from "react";
import { Link } from "wouter";
import { useMessages, useTag } from "../messages/language";
import { count } from "../parts/number";
import { Fact, Facts } from "../parts/sections";
import { Failure, Loading } from "../parts/states";
import { TextView } from "../parts/text-view";
import { precise } from "../parts/time";
import { shortType } from "../parts/type-name";
import { topicHref } from "../topics/links";
import { readRecord } from "./record";

/** Show one event whole, beside the list. Escape closes it. */
export function EventPanel({ cursor, close }: { cursor: string; close: () => void }) {
  const m = useMessages();
  const heading = useRef<HTMLHeadingElement>(null);
  const query = useQuery({
    queryKey: ["record", cursor],
    queryFn: ({ signal }) => readRecord(cursor, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another event moves the focus again
  useEffect(() => heading.current?.focus(), [cursor]);
  useEffect(() => {
    const typed = (event: KeyboardEvent) => event.key === "Escape" && close();
    addEventListener("keydown", typed);
    return () => removeEventListener("keydown", typed);
  }, [close]);
  const record = query.data;
  return (
    <aside className="panel" aria-labelledby="panel-heading">
      <div className="panel-head">
        <h2 id="panel-heading" ref={heading} tabIndex={-1}>
          {record === undefined ? m.live.event : (shortType(record.type ?? undefined) ?? m.live.event)}
        </h2>
        <button type="button" className="button" aria-keyshortcuts="Escape" onClick={close}>
          {m.actions.close}
        </button>
      </div>
      {record === undefined ? (
        query.error ? (
          <Failure error={query.error} again={() => void query.refetch()} />
        ) : (
          <Loading />
        )
      ) : (
        <div className="panel-body">
          <RecordFacts record={record} />
          <h3>{m.live.body}</h3>
          <TextView label={m.live.body} text={record.body} />
          <h3>{m.live.headers}</h3>
          <TextView label={m.live.headers} text={JSON.stringify(record.headers)} />
        </div>
      )}
    </aside>
  );
}

function RecordFacts({ record }: { record: Awaited<ReturnType<typeof readRecord>> }) {
  const m = useMessages();
  const tag = useTag();
  const live = (name: string, value: string | null, shown: ReactNode = value) =>
    value === null ? m.states.none : <Link href={`/live?${new URLSearchParams({ [name]: value })}`}>{shown}</Link>;
  return (
    <Facts>
      <Fact name={m.live.time}>{precise(record.time, tag)}</Fact>
      <Fact name={m.live.key}>{live("key", record.key)}</Fact>
      <Fact name={m.live.filters.order_id}>
        {record.order_id === null ? m.states.none : <Link href={`/orders/${record.order_id}`}>{record.order_id}</Link>}
      </Fact>
      <Fact name={m.live.filters.partner}>{live("partner", record.partner)}</Fact>
      <Fact name={m.live.place}>
        {record.topic.endsWith(".dlq") ? (
          record.topic
        ) : (
          <Link href={topicHref(record.topic, record.type ?? undefined)}>{record.topic}</Link>
        )}
        {` / ${record.partition} / ${record.offset}`}
      </Fact>
      <Fact name={m.live.sequence}>{count(record.sequence, tag)}</Fact>
      <Fact name={m.live.source}>{record.source ?? m.states.none}</Fact>
      <Fact name={m.live.size}>{m.live.bytes(count(record.size, tag))}</Fact>
      <Fact name={m.live.repeat}>{record.repeat ? m.states.yes : m.states.no}</Fact>
    </Facts>
  );
}
