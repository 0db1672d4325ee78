import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";
import { type AnalyticsSchemas, analyticsService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { Copy } from "../parts/copy";
import { Page } from "../parts/list-page";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { TextView } from "../parts/text-view";
import { shortType } from "../parts/type-name";
import { lastOf, rateOf, rateOfType } from "./activity";
import { groupHref, liveHref, topicHref } from "./links";
import "./topics.css";

type Topic = AnalyticsSchemas["TopicView"];
type Event = AnalyticsSchemas["EventDescription"];
type Reader = AnalyticsSchemas["Reader"];

const REFRESH_MS = 10_000;

/** One topic: its contract, its readers, its types, and one type whole. */
export default function TopicPage({ params }: { params: { name: string } }) {
  const m = useMessages();
  const [search] = useSearchParams();
  const query = useQuery({
    queryKey: ["topic", params.name],
    queryFn: ({ signal }) =>
      read(analyticsService.GET("/v1/topics/{name}", { params: { path: { name: params.name } }, signal })),
    refetchInterval: REFRESH_MS,
  });
  const topic = query.data;
  if (topic === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const chosen = search.get("type") ?? topic.events[0]?.type;
  const event = topic.events.find((each) => each.type === chosen);
  return (
    <Page
      title={topic.name}
      aside={
        <>
          <Link href="/topics">{m.topics.allTopics}</Link>
          <Link href={liveHref(topic.name)}>{m.topics.live}</Link>
          <Freshness query={query} />
        </>
      }
    >
      <div className="sections">
        <Contract topic={topic} />
        <Readers topic={topic} />
        <Types topic={topic} chosen={chosen} />
        {event === undefined ? (
          <Notice title={m.topics.noType} detail={m.topics.noTypeDetail} />
        ) : (
          <Type key={event.type} topic={topic} event={event} />
        )}
      </div>
    </Page>
  );
}

function Contract({ topic }: { topic: Topic }) {
  const m = useMessages();
  const tag = useTag();
  const { activity } = topic;
  const last = lastOf(activity, m, tag);
  const days = topic.retention_days;
  return (
    <Section>
      <Facts>
        <Fact name={m.topics.owner}>
          <Link href={`/consumers?service=${topic.owner}`}>{topic.owner}</Link>
        </Fact>
        <Fact name={m.topics.key}>{topic.key}</Fact>
        <Fact name={m.topics.partitions}>{count(topic.partitions, tag)}</Fact>
        <Fact name={m.topics.kept}>{days === null ? m.topics.forEver : m.topics.days(count(days, tag))}</Fact>
        <Fact name={m.topics.rate}>{rateOf(activity.rate, m, tag)}</Fact>
        <Fact name={m.topics.last}>
          {activity.last === null ? (
            last
          ) : (
            <Link href={liveHref(topic.name, { event: activity.last.cursor })}>
              {`${shortType(activity.last.type ?? undefined) ?? m.live.event}, ${last}`}
            </Link>
          )}
        </Fact>
        <Fact name={m.topics.log}>{m.topics.readings[activity.reading]}</Fact>
      </Facts>
    </Section>
  );
}

function Readers({ topic }: { topic: Topic }) {
  const m = useMessages();
  const { readers, silent } = topic;
  const kinds: Record<string, string> = m.topics.kinds;
  const columns: Column<Reader>[] = [
    { name: "service", header: m.topics.service, width: "minmax(9rem, 1fr)", cell: (row) => row.service },
    { name: "kind", header: m.topics.kind, width: "8rem", cell: (row) => kinds[row.kind] ?? row.kind },
    {
      name: "handler",
      header: m.topics.handler,
      width: "minmax(12rem, 1.6fr)",
      cell: (row) => row.handler ?? m.topics.everyRecord,
    },
    {
      name: "gets",
      header: m.topics.gets,
      width: "minmax(12rem, 2.4fr)",
      cell: (row) => row.types.map((each) => shortType(each)).join(", "),
    },
  ];
  return (
    <Section
      title={m.topics.readers}
      {...(readers.length > 0 && { list: { rows: readers.length, columns: columns.length, foot: silent.length > 0 } })}
    >
      {silent.length > 0 && (
        <p className="none" role="status">
          {m.topics.silent(silent.map((each) => each.service).join(", "))}
        </p>
      )}
      {readers.length === 0 ? (
        <p className="none">{silent.length > 0 ? m.topics.unreadKnown : m.topics.unread}</p>
      ) : (
        <Rows
          label={m.topics.readers}
          rows={readers}
          columns={columns}
          keyOf={(row) => `${row.group} ${row.handler} ${row.types.join()}`}
          hrefOf={groupHref}
        />
      )}
    </Section>
  );
}

function Types({ topic, chosen }: { topic: Topic; chosen: string | undefined }) {
  const m = useMessages();
  const tag = useTag();
  const columns: Column<Event>[] = [
    { name: "type", header: m.topics.type, width: "minmax(11rem, 1.2fr)", cell: (row) => shortType(row.type) },
    { name: "version", header: m.topics.version, width: "5rem", cell: (row) => row.type.split(".").at(-1) },
    {
      name: "stability",
      header: m.topics.stability,
      width: "6rem",
      cell: (row) => m.topics.stabilities[row.stability],
    },
    { name: "carries", header: m.topics.carries, width: "8rem", cell: (row) => m.topics.carried[row.carries] },
    {
      name: "partner",
      header: m.topics.partner,
      width: "9rem",
      cell: (row) => (row.visible_to_partner === null ? m.states.no : m.topics.seenBy(row.visible_to_partner)),
    },
    {
      name: "rate",
      header: m.topics.rate,
      width: "7rem",
      numeric: true,
      cell: (row) => rateOfType(topic.activity, row.type, m, tag),
    },
    {
      name: "meaning",
      header: m.topics.meaning,
      width: "minmax(12rem, 2.4fr)",
      cell: (row) => row.meaning.split(". ")[0],
    },
  ];
  return (
    <Section title={m.topics.events} list={{ rows: topic.events.length, columns: columns.length }}>
      <Rows
        label={m.topics.events}
        rows={topic.events}
        columns={columns}
        keyOf={(row) => row.type}
        hrefOf={(row) => topicHref(topic.name, row.type)}
        selected={chosen}
      />
    </Section>
  );
}

function Type({ topic, event }: { topic: Topic; event: Event }) {
  const m = useMessages();
  const query = useQuery({
    queryKey: ["schema", event.type],
    queryFn: ({ signal }) =>
      read(analyticsService.GET("/v1/schemas/{type}", { params: { path: { type: event.type } }, signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const example = event.example === null ? undefined : JSON.stringify(event.example, null, 2);
  const schema = query.data && JSON.stringify(query.data, null, 2);
  return (
    <>
      <Section title={event.type}>
        <p className="lead">{event.meaning}</p>
        <p className="links">
          <Link href={liveHref(topic.name, { type: event.type })}>{m.topics.live}</Link>
          <a href={event.schema_path}>{m.topics.schemaFile}</a>
          <a href={event.examples_path}>{m.topics.examplesFile}</a>
        </p>
      </Section>
      <Section title={m.topics.example}>
        {example === undefined ? (
          <p className="none">{m.topics.noExample}</p>
        ) : (
          <>
            <TextView text={example} label={m.topics.example} />
            <p className="links">
              <Copy text={example} label={m.topics.copyExample} />
            </p>
          </>
        )}
      </Section>
      <Section title={m.topics.schema}>
        {schema === undefined ? (
          query.error ? (
            <Failure error={query.error} again={() => void query.refetch()} />
          ) : (
            <Loading />
          )
        ) : (
          <>
            <TextView text={schema} label={m.topics.schema} />
            <p className="links">
              <Copy text={schema} label={m.topics.copySchema} />
            </p>
          </>
        )}
      </Section>
    </>
  );
}
