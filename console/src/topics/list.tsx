import { type AnalyticsSchemas, analyticsService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import type { Column } from "../parts/rows";
import { lastOf, rateOf, readersOf } from "./activity";
import { topicHref } from "./links";

type Row = AnalyticsSchemas["TopicSummary"] & { silent: AnalyticsSchemas["Silent"][] };

/** The topics: who writes and reads them, and what is on them now. */
export default function TopicsPage() {
  const m = useMessages();
  const tag = useTag();
  const listed = useList<Row>(["topics"], async (_, signal) => {
    const { items, silent } = await read(analyticsService.GET("/v1/topics", { signal }));
    return { items: items.map((each) => ({ ...each, silent })) };
  });
  const columns: Column<Row>[] = [
    { name: "topic", header: m.topics.topic, width: "minmax(15rem, 1.5fr)", cell: (row) => row.name },
    { name: "owner", header: m.topics.owner, width: "minmax(8rem, 1fr)", cell: (row) => row.owner },
    {
      name: "readers",
      header: m.topics.readers,
      width: "minmax(12rem, 2.4fr)",
      cell: (row) => readersOf(row.readers, row.silent, m),
    },
    {
      name: "types",
      header: m.topics.types,
      width: "5rem",
      numeric: true,
      cell: (row) => count(row.types.length, tag),
    },
    {
      name: "rate",
      header: m.topics.rate,
      width: "7rem",
      numeric: true,
      cell: (row) => rateOf(row.activity.rate, m, tag),
    },
    { name: "last", header: m.topics.last, width: "12rem", cell: (row) => lastOf(row.activity, m, tag) },
    { name: "log", header: m.topics.log, width: "7rem", cell: (row) => m.topics.readings[row.activity.reading] },
  ];
  const silent = listed.rows?.[0]?.silent ?? [];
  return (
    <Page title={m.topics.title}>
      {silent.length > 0 && (
        <p className="none" role="status">
          {m.topics.silent(silent.map((each) => each.service).join(", "))}
        </p>
      )}
      <ListBody
        listed={listed}
        label={m.topics.list}
        columns={columns}
        keyOf={(row) => row.name}
        hrefOf={(row) => topicHref(row.name)}
        empty={{ title: m.topics.empty, detail: m.topics.emptyDetail }}
      />
    </Page>
  );
}
