import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type OrderSchemas, opsOf, read, SERVICES, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ChoiceFilter, FilterBar, useFilters } from "../parts/filters";
import { Page } from "../parts/list-page";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading } from "../parts/states";
import { moment } from "../parts/time";
import { KafkaGroups, KafkaPartitions } from "./kafka";
import { useLag } from "./lag";

type State = OrderSchemas["OperationsState"];
type Group = OrderSchemas["GroupState"];
type Partition = OrderSchemas["PartitionState"];
type Job = OrderSchemas["JobState"];

const REFRESH_MS = 5_000;

/** What a service sends, reads and does by the clock, as its own database tells it. */
export default function ConsumersPage() {
  const m = useMessages();
  const filters = useFilters(["service", "group", "kafka"] as const);
  const service = SERVICES.find((each) => each === filters.values.service);
  const kafka = service === undefined ? filters.values.kafka : "";
  return (
    <Page
      title={m.consumers.title}
      aside={
        <FilterBar filters={filters}>
          <ChoiceFilter
            label={m.consumers.service}
            value={service ?? ""}
            choices={[["", m.consumers.all], ...SERVICES.map((each) => [each, each] as const)]}
            onChange={(value) => filters.set("service", value)}
          />
        </FilterBar>
      }
    >
      <div className="sections">
        {kafka === "" &&
          SERVICES.filter((each) => service === undefined || each === service).map((each) => (
            <Consumers key={each} service={each} group={filters.values.group} alone={service !== undefined} />
          ))}
        {kafka !== "" && <KafkaPartitions group={kafka} />}
        {service === undefined && <KafkaGroups />}
      </div>
    </Page>
  );
}

function Consumers({ service, group, alone }: { service: Service; group: string; alone: boolean }) {
  const query = useQuery({
    queryKey: ["operations", service],
    queryFn: ({ signal }) => read(opsOf(service).GET("/v1/operations", { signal })),
    refetchInterval: REFRESH_MS,
  });
  const shown = query.data;
  return (
    <>
      <Section title={service}>
        {shown === undefined ? (
          query.error ? (
            <Failure error={query.error} again={() => void query.refetch()} />
          ) : (
            <Loading />
          )
        ) : (
          <>
            <Outbox outbox={shown.outbox} />
            <p className="foot">
              <Freshness query={query} />
            </p>
          </>
        )}
      </Section>
      {shown && <Groups service={service} groups={shown.groups} />}
      {shown?.groups
        .filter((each) => each.group === group)
        .map((each) => (
          <Partitions key={each.group} group={each} />
        ))}
      {shown && alone && <Jobs jobs={shown.jobs} />}
    </>
  );
}

function Outbox({ outbox }: { outbox: State["outbox"] }) {
  const m = useMessages();
  const tag = useTag();
  return (
    <Facts>
      <Fact name={m.consumers.outbox}>{count(outbox.depth, tag)}</Fact>
      <Fact name={m.consumers.outboxAge}>{m.consumers.seconds(count(Math.round(outbox.age_seconds), tag))}</Fact>
      <Fact name={m.consumers.relay}>{outbox.relay_runs ? m.states.yes : m.states.no}</Fact>
    </Facts>
  );
}

function Groups({ service, groups }: { service: Service; groups: readonly Group[] }) {
  const m = useMessages();
  const tag = useTag();
  const lag = useLag();
  const columns: Column<Group>[] = [
    { name: "group", header: m.consumers.group, width: "minmax(10rem, 2fr)", cell: (each) => each.group },
    {
      name: "kind",
      header: m.consumers.kind,
      width: "8rem",
      cell: (each) => (each.kind === null ? m.states.unknown : m.consumers.kinds[each.kind]),
    },
    ...lag.columns<Group>(),
    {
      name: "clear",
      header: m.consumers.toClear,
      width: "8rem",
      numeric: true,
      cell: (each) => (each.lag === 0 ? m.consumers.caughtUp : lag.seconds(each.seconds_to_clear)),
    },
    {
      name: "held",
      header: m.consumers.held,
      width: "7rem",
      numeric: true,
      cell: (each) =>
        each.held_keys === 0 ? (
          count(0, tag)
        ) : (
          <Link href={`/dead-letters?service=${service}`}>{count(each.held_keys, tag)}</Link>
        ),
    },
    {
      name: "state",
      header: m.consumers.state,
      width: "minmax(7rem, 1fr)",
      cell: (each) =>
        each.stopped.length > 0 ? (
          <strong className="stale">{each.stopped[0]?.reason ?? m.consumers.stopped}</strong>
        ) : (
          m.consumers.running
        ),
    },
    { name: "seen", header: m.consumers.seen, width: "12rem", cell: (each) => moment(each.seen_at, tag) },
  ];
  return (
    <Section title={m.consumers.groups(service)} list={{ rows: groups.length, columns: columns.length }}>
      {groups.length === 0 ? (
        <p className="none">{m.consumers.noGroups}</p>
      ) : (
        <Rows
          label={m.consumers.groups(service)}
          rows={groups}
          columns={columns}
          keyOf={(each) => each.group}
          hrefOf={(each) => `/consumers?service=${service}&group=${encodeURIComponent(each.group)}`}
        />
      )}
    </Section>
  );
}

function Partitions({ group }: { group: Group }) {
  const m = useMessages();
  const tag = useTag();
  const lag = useLag();
  const columns: Column<Partition>[] = [
    {
      name: "partition",
      header: m.consumers.partition,
      width: "minmax(10rem, 2fr)",
      cell: (each) => `${each.partition} · ${each.topic}`,
    },
    {
      name: "position",
      header: m.consumers.position,
      width: "6rem",
      numeric: true,
      cell: (each) => (each.position === null ? m.states.none : count(each.position, tag)),
    },
    { name: "end", header: m.consumers.end, width: "6rem", numeric: true, cell: (each) => lag.records(each.end) },
    ...lag.columns<Partition>(),
    {
      name: "reads",
      header: m.consumers.reads,
      width: "8rem",
      cell: (each) => (each.reads ? m.states.yes : m.consumers.noLonger),
    },
    { name: "seen", header: m.consumers.seen, width: "12rem", cell: (each) => moment(each.seen_at, tag) },
  ];
  const title = m.consumers.partitions(group.group);
  return (
    <Section title={title} list={{ rows: group.partitions.length, columns: columns.length }}>
      {group.partitions.length === 0 ? (
        <p className="none">{m.consumers.noPartitions}</p>
      ) : (
        <Rows
          label={title}
          rows={group.partitions}
          columns={columns}
          keyOf={(each) => `${each.topic} ${each.partition}`}
        />
      )}
    </Section>
  );
}

function Jobs({ jobs }: { jobs: readonly Job[] }) {
  const m = useMessages();
  const tag = useTag();
  const columns: Column<Job>[] = [
    { name: "kind", header: m.consumers.job, width: "minmax(10rem, 2fr)", cell: (each) => each.kind },
    { name: "last", header: m.consumers.lastRun, width: "12rem", cell: (each) => moment(each.last_run, tag) },
    { name: "next", header: m.consumers.nextRun, width: "12rem", cell: (each) => moment(each.next_run, tag) },
    {
      name: "failures",
      header: m.consumers.failures,
      width: "7rem",
      numeric: true,
      cell: (each) => count(each.failures, tag),
    },
    { name: "error", header: m.consumers.error, width: "minmax(8rem, 2fr)", cell: (each) => each.error ?? "—" },
  ];
  return (
    <Section title={m.consumers.jobs} list={{ rows: jobs.length, columns: columns.length }}>
      {jobs.length === 0 ? (
        <p className="none">{m.consumers.noJobs}</p>
      ) : (
        <Rows label={m.consumers.jobs} rows={jobs} columns={columns} keyOf={(each) => each.id} />
      )}
    </Section>
  );
}
