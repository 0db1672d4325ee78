import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type AnalyticsSchemas, analyticsService, read } from "../api/client";
import { mayAct, useSession } from "../api/session";
import type { DiagnosisCode, Told } from "../messages/diagnosis-en";
import { useMessages, useTag } from "../messages/language";
import { duration } from "../parts/duration";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Section } from "../parts/sections";
import { Failure, Freshness, Loading } from "../parts/states";
import { momentInZone } from "../parts/time";
import "./order.css";

type Diagnosis = AnalyticsSchemas["Diagnosis"];
type Action = AnalyticsSchemas["Action"];
type Line = AnalyticsSchemas["LackingLine"];

const REFRESH_MS = 5_000;

/** Show what an order waits for and why, what happens next, and what a person can do. A new `version` is asked for at once. */
export function OrderDiagnosis({ id, version }: { id: string; version: number }) {
  const m = useMessages();
  const query = useQuery({
    queryKey: ["diagnosis", id, version],
    queryFn: ({ signal }) =>
      read(analyticsService.GET("/v1/orders/{order_id}/diagnosis", { params: { path: { order_id: id } }, signal })),
    refetchInterval: REFRESH_MS,
    placeholderData: (before) => before,
  });
  return (
    <>
      <Section title={m.orders.diagnosis}>
        {query.data !== undefined ? (
          <>
            <Explained found={query.data} />
            <p className="none">
              <Freshness query={query} />
            </p>
          </>
        ) : query.error ? (
          <Failure error={query.error} again={() => void query.refetch()} />
        ) : (
          <Loading />
        )}
      </Section>
      {query.data && query.data.lines.length > 0 && <Queue found={query.data} />}
    </>
  );
}

function Explained({ found }: { found: Diagnosis }) {
  const m = useMessages();
  const tag = useTag();
  const session = useSession();
  const told = useTold();
  const waits = found.why !== null || found.lines.length > 0 || found.next.code !== "nothing";
  return (
    <div className="diagnosis">
      <p className="lead" data-code={found.what.code}>
        {told(found.what)}
        {waits && ` (${duration(Date.parse(found.at) - Date.parse(found.since), tag)})`}
      </p>
      <dl>
        {found.why && (
          <>
            <dt>{m.orders.why}</dt>
            <dd data-code={found.why.code}>{told(found.why)}</dd>
          </>
        )}
        <dt>{m.orders.next}</dt>
        <dd data-code={found.next.code}>{told(found.next)}</dd>
        {mayAct(session) && found.actions.length > 0 && (
          <>
            <dt>{m.orders.canDo}</dt>
            <dd>
              <ul>
                {found.actions.map((each) => (
                  <li key={`${each.code} ${each.url} ${each.data["item_id"]}`}>
                    <Explain action={each}>{told(each)}</Explain>
                    {each.url !== null && (
                      <span className="request mono">
                        {each.method} {each.service}
                        {each.url}
                      </span>
                    )}
                  </li>
                ))}
              </ul>
            </dd>
          </>
        )}
      </dl>
      {found.lines_left_out > 0 && <p className="none">{m.orders.moreLines(found.lines_left_out)}</p>}
      {found.notes.map((each) => (
        <p key={each.code + told(each)} className="stale">
          {told(each)}
        </p>
      ))}
    </div>
  );
}

/** Link what a person can do to the page that has it. */
function Explain({ action, children }: { action: Action; children: string }) {
  const item = action.data["item_id"];
  const places: Partial<Record<Action["code"], string>> = {
    receive: `/stock/${encodeURIComponent(String(item))}`,
    activate: `/stock/${encodeURIComponent(String(item))}`,
    redrive: `/dead-letters/${action.service}/${action.data["id"]}`,
    discard: `/dead-letters/${action.service}/${action.data["id"]}`,
    park: "/",
    skip: "/",
    start_worker: "/consumers",
    check_kafka: "/consumers",
  };
  const place = places[action.code];
  return place === undefined ? children : <Link href={place}>{children}</Link>;
}

function Queue({ found }: { found: Diagnosis }) {
  const m = useMessages();
  const tag = useTag();
  const ahead = (line: Line, value: number | null) =>
    value === null ? m.states.unknown : `${count(value, tag)}${line.complete === false ? "+" : ""}`;
  const columns: Column<Line>[] = [
    {
      name: "item",
      header: m.orders.lineItem,
      width: "minmax(8rem, 1fr)",
      cell: (line) => line.item_id,
    },
    {
      name: "missing",
      header: m.orders.missing,
      width: "6rem",
      numeric: true,
      cell: (line) => count(line.missing, tag),
    },
    {
      name: "reserved",
      header: m.orders.reserved,
      width: "6rem",
      numeric: true,
      cell: (line) => count(line.reserved, tag),
    },
    {
      name: "orders",
      header: m.orders.ordersAhead,
      width: "9rem",
      numeric: true,
      cell: (line) => ahead(line, line.orders_ahead),
    },
    {
      name: "units",
      header: m.orders.unitsAhead,
      width: "9rem",
      numeric: true,
      cell: (line) => ahead(line, line.units_ahead),
    },
    {
      name: "available",
      header: m.stock.available,
      width: "7rem",
      numeric: true,
      cell: (line) => (line.available === null ? m.states.unknown : count(line.available, tag)),
    },
  ];
  return (
    <Section title={m.orders.place} list={{ rows: found.lines.length, columns: columns.length }}>
      <Rows
        label={m.orders.place}
        rows={found.lines}
        columns={columns}
        keyOf={(line) => line.line_id}
        hrefOf={(line) => `/stock/${encodeURIComponent(line.item_id)}`}
      />
    </Section>
  );
}

/** Return a function that makes the sentence of a part in the language of the person. */
function useTold(): (part: { code: DiagnosisCode; data: Record<string, unknown> }) => string {
  const m = useMessages();
  const tag = useTag();
  return ({ code, data }) => {
    const told: Told = {
      text: (name) => String(data[name] ?? ""),
      number: (name) => count(Math.round(Number(data[name] ?? Number.NaN)), tag),
      time: (name) => momentInZone(String(data[name]), tag),
      one: (name) => data[name] === 1,
      has: (name) => Boolean(data[name]),
    };
    return m.diagnosis[code](told);
  };
}
