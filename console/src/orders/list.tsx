import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";
import { type AnalyticsSchemas, analyticsService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ChoiceFilter, FilterBar, TextFilter, useFilters } from "../parts/filters";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count, money } from "../parts/number";
import type { Column } from "../parts/rows";
import { moment } from "../parts/time";
import { STATUSES, type Status, StatusBadge } from "./status";

type Order = AnalyticsSchemas["OrderNow"];

const NAMES = ["partner", "status", "waiting", "reference", "item", "sort"] as const;
const PAGE = 100;
const REFRESH_MS = 5_000;

/** The orders of all partners, as the events tell them: up to some seconds behind order-service. */
export default function OrdersPage() {
  const m = useMessages();
  const tag = useTag();
  const filters = useFilters(NAMES);
  const { partner, status, waiting, reference, item, sort } = filters.values;
  const chosen = STATUSES.find((each) => each === status);
  const passing = {
    ...(waiting === "true" && { waiting: true }),
    ...(partner && { partner }),
    ...(reference && { reference }),
    ...(item && { waiting_item: item }),
  };
  const listed = useList<Order>(["orders", passing, chosen, sort], (cursor, signal) =>
    read(
      analyticsService.GET("/v1/orders", {
        params: {
          query: {
            limit: PAGE,
            sort: sort === "oldest" ? "oldest" : "newest",
            ...passing,
            ...(chosen && { status: chosen }),
            ...(cursor && { cursor }),
          },
        },
        signal,
      }),
    ),
  );
  const columns: Column<Order>[] = [
    {
      name: "reference",
      header: m.orders.reference,
      width: "minmax(8rem, 1.4fr)",
      cell: (order) => order.reference,
    },
    { name: "partner", header: m.orders.partner, width: "minmax(6rem, 1fr)", cell: (order) => order.partner },
    { name: "status", header: m.orders.status, width: "8rem", cell: (order) => <StatusBadge status={order.status} /> },
    { name: "since", header: m.stock.since, width: "12rem", cell: (order) => moment(order.since, tag) },
    { name: "placed", header: m.orders.placed, width: "12rem", cell: (order) => moment(order.placed_at, tag) },
    {
      name: "total",
      header: m.orders.total,
      width: "9rem",
      numeric: true,
      cell: (order) => money(order.total, order.currency ?? ""),
    },
    {
      name: "priority",
      header: m.orders.priority,
      width: "5rem",
      numeric: true,
      cell: (order) => count(order.priority, tag),
    },
  ];
  return (
    <Page
      title={m.orders.title}
      aside={
        <>
          <Counts chosen={chosen} passing={passing} />
          <FilterBar filters={filters}>
            <TextFilter label={m.orders.partner} value={partner} onChange={(value) => filters.set("partner", value)} />
            <TextFilter
              label={m.orders.reference}
              value={reference}
              onChange={(value) => filters.set("reference", value)}
            />
            <TextFilter label={m.orders.item} value={item} onChange={(value) => filters.set("item", value)} />
            <ChoiceFilter
              label={m.orders.waits}
              value={waiting === "true" ? waiting : ""}
              choices={[
                ["", m.orders.all],
                ["true", m.orders.onlyWaiting],
              ]}
              onChange={(value) => filters.set("waiting", value)}
            />
            <ChoiceFilter
              label={m.orders.sort}
              value={sort === "oldest" ? sort : ""}
              choices={[
                ["", m.orders.newest],
                ["oldest", m.orders.oldest],
              ]}
              onChange={(value) => filters.set("sort", value)}
            />
          </FilterBar>
        </>
      }
    >
      <ListBody
        listed={listed}
        label={m.orders.list}
        columns={columns}
        keyOf={(order) => order.id}
        hrefOf={(order) => `/orders/${order.id}`}
        empty={{ title: m.orders.empty, detail: filters.any ? m.orders.emptyFiltered : m.orders.emptyDetail }}
      />
    </Page>
  );
}

/** Show how many orders each status has. Each number is a link to these orders. */
function Counts({ chosen, passing }: { chosen: Status | undefined; passing: AnalyticsCounts }) {
  const m = useMessages();
  const tag = useTag();
  const [search] = useSearchParams();
  const query = useQuery({
    queryKey: ["order-counts", passing],
    queryFn: ({ signal }) => read(analyticsService.GET("/v1/orders/counts", { params: { query: passing }, signal })),
    refetchInterval: REFRESH_MS,
    placeholderData: (before) => before,
  });
  const to = (status: Status | undefined) => {
    const next = new URLSearchParams(search);
    next.delete("status");
    if (status !== undefined) next.set("status", status);
    return `/orders?${next}`;
  };
  return (
    <nav className="views" aria-label={m.orders.status}>
      <Link href={to(undefined)} aria-current={chosen === undefined ? "page" : undefined}>
        {m.orders.all}
      </Link>
      {STATUSES.map((status) => {
        const found = query.data?.items.find((each) => each.status === status);
        return (
          <Link key={status} href={to(status)} aria-current={status === chosen ? "page" : undefined}>
            {m.orders.statuses[status]} {count(found?.orders, tag)}
            {found?.complete === false && "+"}
          </Link>
        );
      })}
    </nav>
  );
}

type AnalyticsCounts = { waiting?: boolean; partner?: string; reference?: string; waiting_item?: string };
