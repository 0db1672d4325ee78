import { type OrderSchemas, opsOf, read, SERVICES, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ChoiceFilter, FilterBar, type Filters, TextFilter, useFilters } from "../parts/filters";
import { Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { moment } from "../parts/time";
import { ActedOn } from "./acted-on";
import { AGES, ageOf, beginning } from "./age";
import { merged } from "./merge";

export type Entry = OrderSchemas["OperatorAction"] & { service: Service };
type Name = "who" | "action" | "target" | "service" | "since";

const PAGE = 100;

/** What operators did, in all services. Each service keeps its own list, and this page merges them by time. */
export default function AuditPage() {
  const m = useMessages();
  const filters = useFilters<Name>(["who", "action", "target", "service", "since"]);
  const lists = [
    useEntries("order-service", filters.values),
    useEntries("inventory-service", filters.values),
    useEntries("analytics-service", filters.values),
  ].filter((each) => each.wanted);
  // A filter passes only what is equal, so the values that were read are suggested. Paths are too many for that.
  const text = (name: "who" | "action" | "target") => (
    <TextFilter
      label={m.audit[name]}
      value={filters.values[name]}
      onChange={(value) => filters.set(name, value)}
      {...(name !== "target" && {
        suggestions: distinct(
          lists.flatMap((each) => each.rows ?? []),
          name,
        ),
      })}
    />
  );
  return (
    <Page
      title={m.audit.title}
      aside={
        <FilterBar filters={filters}>
          {text("who")}
          {text("action")}
          {text("target")}
          <ChoiceFilter
            label={m.audit.service}
            value={SERVICES.find((each) => each === filters.values.service) ?? ""}
            choices={[["", m.audit.all], ...SERVICES.map((each) => [each, each] as const)]}
            onChange={(value) => filters.set("service", value)}
          />
          <ChoiceFilter
            label={m.audit.since}
            value={ageOf(filters.values.since)}
            choices={AGES.map((each) => [each, m.audit.ages[each]] as const)}
            onChange={(value) => filters.set("since", value)}
          />
        </FilterBar>
      }
    >
      <Entries lists={lists} filters={filters} />
    </Page>
  );
}

function distinct(entries: readonly Entry[], name: "who" | "action"): string[] {
  return [...new Set(entries.map((each) => each[name]))].sort();
}

function useEntries(service: Service, { who, action, target, service: chosen }: Filters<Name>["values"]) {
  const wanted = !SERVICES.some((each) => each === chosen) || chosen === service;
  const listed = useList<Entry>(
    ["audit", service, who, action, target],
    async (cursor, signal) => {
      const query = {
        limit: PAGE,
        ...(who && { who }),
        ...(action && { action }),
        ...(target && { target }),
        ...(cursor && { cursor }),
      };
      const page = await read(opsOf(service).GET("/v1/operator-actions", { params: { query }, signal }));
      return { items: page.items.map((each) => ({ ...each, service })), next: page.next };
    },
    wanted,
  );
  return { service, wanted, ...listed };
}

function Entries({ lists, filters }: { lists: ReturnType<typeof useEntries>[]; filters: Filters<Name> }) {
  const m = useMessages();
  const tag = useTag();
  const answered = lists.filter((each) => each.rows !== undefined);
  // A service whose first try has failed is not waited for. Its entries come when it answers.
  const silent = lists.filter((each) => each.rows === undefined && each.query.failureCount > 0);
  if (answered.length === 0 || answered.length + silent.length < lists.length) {
    const failed = lists.find((each) => each.query.error !== null);
    const again = () => {
      for (const each of lists) void each.query.refetch();
    };
    return failed?.query.error && answered.length === 0 ? (
      <Failure error={failed.query.error} again={again} />
    ) : (
      <Loading />
    );
  }
  const { entries, lacking } = merged(
    answered.map((each) => ({ entries: each.rows ?? [], more: each.query.hasNextPage })),
    beginning(ageOf(filters.values.since), Date.now()),
  );
  const more = () => {
    for (const index of lacking) answered[index]?.more();
  };
  const columns: Column<Entry>[] = [
    { name: "action", header: m.audit.action, width: "minmax(13rem, 1fr)", cell: (row) => row.action },
    { name: "at", header: m.audit.at, width: "12rem", cell: (row) => moment(row.at, tag) },
    { name: "who", header: m.audit.who, width: "minmax(7rem, 0.8fr)", cell: (row) => row.who },
    { name: "service", header: m.audit.service, width: "9rem", cell: (row) => row.service },
    { name: "target", header: m.audit.target, width: "minmax(12rem, 1.6fr)", cell: (row) => <ActedOn entry={row} /> },
    { name: "why", header: m.audit.why, width: "minmax(10rem, 1.6fr)", cell: (row) => row.why ?? m.audit.noReason },
  ];
  const away = m.audit.silent(silent.map((each) => each.service).join(", "));
  const total = count(entries.length, tag);
  const stale = answered.find((each) => each.query.error !== null) ?? answered[0];
  return (
    <div className="list-body">
      {entries.length === 0 ? (
        <Notice
          title={silent.length > 0 ? m.audit.noneKnown : m.audit.empty}
          detail={filters.any ? m.audit.emptyFiltered : m.audit.emptyDetail}
        />
      ) : (
        <Rows
          label={m.audit.list}
          rows={entries}
          columns={columns}
          keyOf={(row) => `${row.service} ${row.id}`}
          hrefOf={(row) => `/audit/${row.service}/${row.id}`}
          onEnd={more}
        />
      )}
      <p className="foot">
        {entries.length > 0 && (
          <span>
            {lacking.some((index) => answered[index]?.query.isFetchingNextPage)
              ? m.states.more
              : lacking.length > 0
                ? m.states.soFar(total)
                : m.states.end(total)}
          </span>
        )}
        {silent.length > 0 && (
          <strong className="stale" role="status">
            {away}
          </strong>
        )}
        {stale && <Freshness query={stale.query} />}
      </p>
    </div>
  );
}
