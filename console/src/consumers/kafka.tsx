import { useQuery } from "@tanstack/react-query";
import { type AnalyticsSchemas, analyticsService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ListBody } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Section } from "../parts/sections";
import { Failure, Loading } from "../parts/states";
import { moment } from "../parts/time";
import { useLag } from "./lag";
import { LagPlot } from "./plot";

type Group = AnalyticsSchemas["ConsumerGroup"];
type Place = AnalyticsSchemas["GroupPartition"];
type Sampling = AnalyticsSchemas["Sampling"];

const REFRESH_MS = 5_000;

/** The consumer groups of Kafka as it shows them: also those of other systems, dead ones and forgotten ones. */
export function KafkaGroups() {
  const m = useMessages();
  const tag = useTag();
  const lag = useLag();
  const listed = useList<Group>(["kafka-groups"], (cursor, signal) =>
    read(analyticsService.GET("/v1/consumers", { params: { query: { cursor: cursor ?? null, limit: 100 } }, signal })),
  );
  const sampled = useSampling();
  const columns: Column<Group>[] = [
    { name: "group", header: m.consumers.group, width: "minmax(10rem, 2fr)", cell: (each) => each.group },
    { name: "owner", header: m.consumers.owner, width: "10rem", cell: (each) => each.owner ?? m.consumers.foreign },
    {
      name: "status",
      header: m.consumers.state,
      width: "minmax(9rem, 1fr)",
      cell: (each) =>
        each.status === "empty" || each.status === "forgotten" ? (
          <strong className="stale">{m.consumers.statuses[each.status]}</strong>
        ) : (
          m.consumers.statuses[each.status]
        ),
    },
    ...lag.columns<Group>(),
    {
      name: "members",
      header: m.consumers.members,
      width: "7rem",
      numeric: true,
      cell: (each) => lag.records(each.members),
    },
    {
      name: "active",
      header: m.consumers.active,
      width: "12rem",
      cell: (each) => (each.active_at === null ? m.states.unknown : moment(each.active_at, tag)),
    },
  ];
  return (
    <>
      <Section title={m.consumers.kafka} list={{ rows: listed.rows?.length ?? 1, columns: columns.length, foot: true }}>
        <ListBody
          listed={listed}
          label={m.consumers.kafka}
          columns={columns}
          keyOf={(each) => each.group}
          hrefOf={(each) => `/consumers?kafka=${encodeURIComponent(each.group)}`}
          empty={{ title: m.consumers.noKafka }}
        />
      </Section>
      {sampled !== undefined && <p className="foot">{sampled}</p>}
    </>
  );
}

/** Say when Kafka last answered, if it does not answer now, and how many groups are not shown. */
function useSampling(): string | undefined {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["kafka-sampling"],
    queryFn: ({ signal }) => read(analyticsService.GET("/v1/consumers", { params: { query: { limit: 1 } }, signal })),
    refetchInterval: REFRESH_MS,
  });
  const sampling: Sampling | undefined = query.data?.sampling;
  if (sampling === undefined) return undefined;
  if (sampling.answered_at === null) return m.consumers.neverAsked;
  if (!sampling.known) return m.consumers.kafkaSilent(moment(sampling.answered_at, tag));
  return sampling.left_out > 0 ? m.consumers.leftOut(count(sampling.left_out, tag)) : undefined;
}

/** The partitions of one group of Kafka. */
export function KafkaPartitions({ group }: { group: string }) {
  const m = useMessages();
  const tag = useTag();
  const lag = useLag();
  const query = useQuery({
    queryKey: ["kafka-group", group],
    queryFn: ({ signal }) =>
      read(analyticsService.GET("/v1/consumers/{group}", { params: { path: { group } }, signal })),
    refetchInterval: REFRESH_MS,
  });
  const places = query.data?.positions;
  const columns: Column<Place>[] = [
    {
      name: "partition",
      header: m.consumers.partition,
      width: "minmax(10rem, 2fr)",
      cell: (each) => `${each.partition} · ${each.topic}`,
    },
    {
      name: "status",
      header: m.consumers.state,
      width: "minmax(9rem, 1fr)",
      cell: (each) => m.consumers.placeStatuses[each.status],
    },
    {
      name: "position",
      header: m.consumers.position,
      width: "6rem",
      numeric: true,
      cell: (each) => (each.status === "none" ? m.states.none : lag.records(each.position)),
    },
    { name: "end", header: m.consumers.end, width: "6rem", numeric: true, cell: (each) => lag.records(each.end) },
    ...lag.columns<Place>(),
    { name: "member", header: m.consumers.member, width: "minmax(9rem, 1fr)", cell: (each) => each.member ?? "—" },
    {
      name: "moved",
      header: m.consumers.moved,
      width: "12rem",
      cell: (each) => (each.moved_at === null ? m.states.none : moment(each.moved_at, tag)),
    },
  ];
  const title = m.consumers.partitions(group);
  return (
    <>
      {query.data && <LagPlot group={group} points={query.data.history} />}
      <Section title={title} list={{ rows: places?.length ?? 0, columns: columns.length }}>
        {places === undefined ? (
          query.error ? (
            <Failure error={query.error} again={() => void query.refetch()} />
          ) : (
            <Loading />
          )
        ) : places.length === 0 ? (
          <p className="none">{m.consumers.noPartitions}</p>
        ) : (
          <Rows label={title} rows={places} columns={columns} keyOf={(each) => `${each.topic} ${each.partition}`} />
        )}
      </Section>
    </>
  );
}
