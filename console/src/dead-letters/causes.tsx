import { useQueries } from "@tanstack/react-query";
import { Link } from "wouter";
import { opsOf, read, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { moment } from "../parts/time";
import { JobsNow } from "./jobs-now";
import { causeHref, letterHref } from "./links";
import { atLeast, type Cause, type Sort, sorted } from "./sort";

const REFRESH_MS = 5_000;
const PAGE = 200;
/** Causes of a service that are read. They are few, because a cause is a type of event that fails at one line. */
const MOST = 1_000;

interface Found {
  causes: Cause[];
  /** Whether the service has more causes. */
  more: boolean;
}

async function causesOf(service: Service, signal: AbortSignal): Promise<Found> {
  const causes: Cause[] = [];
  let cursor: string | undefined;
  do {
    const query = { limit: PAGE, ...(cursor && { cursor }) };
    const page = await read(opsOf(service).GET("/v1/dead-letters/causes", { params: { query }, signal }));
    causes.push(...page.items.map((each) => ({ ...each, service })));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined && causes.length < MOST);
  return { causes, more: cursor !== undefined };
}

/** Why events failed, in each service: one row for each cause. */
export function Causes({ services, sort }: { services: readonly Service[]; sort: Sort }) {
  const m = useMessages();
  const tag = useTag();
  const queries = useQueries({
    queries: services.map((service) => ({
      queryKey: ["causes", service],
      queryFn: ({ signal }: { signal: AbortSignal }) => causesOf(service, signal),
      refetchInterval: REFRESH_MS,
    })),
  });
  const answered = queries.flatMap((query) => query.data ?? []);
  if (answered.length === 0) {
    const failed = queries.find((query) => query.error !== null);
    const again = () => {
      for (const query of queries) void query.refetch();
    };
    return failed?.error ? <Failure error={failed.error} again={again} /> : <Loading />;
  }
  const silent = services.filter((_, index) => queries[index]?.data === undefined && queries[index]?.error);
  const causes = sorted(
    answered.flatMap((each) => each.causes),
    sort,
  );
  const records = causes.reduce((sum, each) => sum + each.records, 0);
  const oldest = queries.filter((query) => query.data !== undefined).sort((a, b) => a.dataUpdatedAt - b.dataUpdatedAt);
  const columns: Column<Cause>[] = [
    { name: "reason", header: m.deadLetters.reason, width: "minmax(9rem, 1fr)", cell: (each) => each.reason },
    { name: "service", header: m.deadLetters.service, width: "8.5rem", cell: (each) => each.service },
    { name: "topic", header: m.deadLetters.topic, width: "11rem", cell: (each) => each.example.topic },
    {
      name: "records",
      header: m.deadLetters.events,
      width: "4.5rem",
      numeric: true,
      cell: (each) => atLeast(each.records, count(each.records, tag)),
    },
    {
      name: "keys",
      header: m.deadLetters.keys,
      width: "5.5rem",
      numeric: true,
      cell: (each) => atLeast(each.keys, count(each.keys, tag)),
    },
    { name: "first", header: m.deadLetters.first, width: "10.5rem", cell: (each) => moment(each.first_at, tag) },
    { name: "last", header: m.deadLetters.last, width: "10.5rem", cell: (each) => moment(each.last_at, tag) },
    {
      name: "example",
      header: m.deadLetters.example,
      width: "5rem",
      cell: (each) => <Link href={letterHref(each.service, each.example.id)}>{each.example.id}</Link>,
    },
  ];
  return (
    <div className="list-body">
      {causes.length === 0 ? (
        <Notice
          title={silent.length > 0 ? m.deadLetters.noneKnown : m.deadLetters.empty}
          detail={silent.length > 0 ? m.deadLetters.silent(silent.join(", ")) : m.deadLetters.nothingOpen}
        />
      ) : (
        <Rows
          label={m.deadLetters.causes}
          rows={causes}
          columns={columns}
          keyOf={(each) => `${each.service} ${each.fingerprint}`}
          hrefOf={(each) => causeHref(each.service, each.fingerprint)}
        />
      )}
      <p className="foot">
        <span>{m.deadLetters.sum(count(records, tag), count(causes.length, tag))}</span>
        {answered.some((each) => each.more) && <strong className="stale">{m.deadLetters.moreCauses}</strong>}
        {silent.length > 0 && causes.length > 0 && (
          <strong className="stale" role="status">
            {m.deadLetters.silent(silent.join(", "))}
          </strong>
        )}
        {services.map((service) => (
          <JobsNow key={service} service={service} />
        ))}
        {oldest[0] && <Freshness query={oldest.find((query) => query.error !== null) ?? oldest[0]} />}
      </p>
    </div>
  );
}
