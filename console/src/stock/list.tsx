import { Link, useSearchParams } from "wouter";
import { type AnalyticsSchemas, analyticsService, type InventorySchemas, inventoryService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ChoiceFilter, FilterBar, type Filters, TextFilter, useFilters } from "../parts/filters";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import type { Column } from "../parts/rows";
import { moment } from "../parts/time";
import { itemHref } from "./links";

type Short = InventorySchemas["ItemBackorders"];

type Row = AnalyticsSchemas["StockNow"];
type Name = "item" | "location" | "state";

const STATES = ["out_of_stock", "waiting"] as const;
const PAGE = 100;

export default function StockPage() {
  const m = useMessages();
  const [search] = useSearchParams();
  const filters = useFilters<Name>(["item", "location", "state"]);
  const backorders = search.get("view") === "backorders";
  return (
    <Page
      title={m.stock.title}
      aside={
        <>
          <nav className="views" aria-label={m.stock.views}>
            <Link href="/stock" aria-current={backorders ? undefined : "page"}>
              {m.stock.levels}
            </Link>
            <Link href="/stock?view=backorders" aria-current={backorders ? "page" : undefined}>
              {m.stock.backorders}
            </Link>
          </nav>
          <FilterBar filters={filters}>
            <TextFilter
              label={m.stock.find}
              value={filters.values.item}
              onChange={(value) => filters.set("item", value)}
            />
            {!backorders && (
              <>
                <TextFilter
                  label={m.stock.location}
                  value={filters.values.location}
                  onChange={(value) => filters.set("location", value)}
                />
                <ChoiceFilter
                  label={m.stock.state}
                  value={STATES.find((each) => each === filters.values.state) ?? ""}
                  choices={[["", m.orders.all], ...STATES.map((each) => [each, m.stock.states[each]] as const)]}
                  onChange={(value) => filters.set("state", value)}
                />
              </>
            )}
          </FilterBar>
        </>
      }
    >
      {backorders ? <Backorders item={filters.values.item} /> : <Levels filters={filters} />}
    </Page>
  );
}

function Levels({ filters }: { filters: Filters<Name> }) {
  const m = useMessages();
  const tag = useTag();
  const { item, location } = filters.values;
  const state = STATES.find((each) => each === filters.values.state);
  const listed = useList<Row>(["stock", item, location, state], (cursor, signal) =>
    read(
      analyticsService.GET("/v1/stock", {
        params: {
          query: {
            limit: PAGE,
            ...(item && { item_prefix: item }),
            ...(location && { location_id: location }),
            ...(state && { state }),
            ...(cursor && { cursor }),
          },
        },
        signal,
      }),
    ),
  );
  const number = (name: string, header: string, of: (row: Row) => number) => ({
    name,
    header,
    width: "7rem",
    numeric: true,
    cell: (row: Row) => count(of(row), tag),
  });
  const columns: Column<Row>[] = [
    { name: "item", header: m.stock.item, width: "minmax(8rem, 1.5fr)", cell: (row) => row.item_id },
    {
      name: "location",
      header: m.stock.location,
      width: "minmax(6rem, 1fr)",
      cell: (row) => row.location_id ?? m.stock.nowhere,
    },
    number("available", m.stock.available, (row) => row.available),
    number("onHand", m.stock.onHand, (row) => row.on_hand),
    number("reserved", m.stock.reserved, (row) => row.reserved),
    number("missing", m.stock.missing, (row) => row.units_missing),
    number("orders", m.stock.orders, (row) => row.orders_waiting),
    { name: "unit", header: m.stock.unit, width: "5rem", cell: (row) => row.unit_of_measure ?? m.states.unknown },
    {
      name: "status",
      header: m.stock.status,
      width: "7rem",
      cell: (row) => (row.status === null ? m.states.unknown : m.stock.statuses[row.status]),
    },
  ];
  return (
    <ListBody
      listed={listed}
      label={m.stock.list}
      columns={columns}
      keyOf={(row) => `${row.item_id} ${row.location_id}`}
      hrefOf={(row) => itemHref(row.item_id)}
      empty={{ title: m.stock.empty, detail: filters.any ? m.stock.emptyFiltered : m.stock.emptyDetail }}
    />
  );
}

function Backorders({ item }: { item: string }) {
  const m = useMessages();
  const tag = useTag();
  const listed = useList<Short>(["backorders", item], (cursor, signal) =>
    read(
      inventoryService.GET("/v1/backorders", {
        params: { query: { limit: PAGE, ...(item && { item_id: item }), ...(cursor && { cursor }) } },
        signal,
      }),
    ),
  );
  const columns: Column<Short>[] = [
    { name: "item", header: m.stock.item, width: "minmax(8rem, 2fr)", cell: (row) => row.item_id },
    {
      name: "orders",
      header: m.stock.orders,
      width: "6rem",
      numeric: true,
      cell: (row) => `${count(row.orders, tag)}${row.complete ? "" : "+"}`,
    },
    {
      name: "missing",
      header: m.stock.missing,
      width: "8rem",
      numeric: true,
      cell: (row) => `${count(row.units_missing, tag)}${row.complete ? "" : "+"}`,
    },
    {
      name: "available",
      header: m.stock.available,
      width: "7rem",
      numeric: true,
      cell: (row) => count(row.available, tag),
    },
    { name: "oldest", header: m.stock.oldest, width: "12rem", cell: (row) => moment(row.oldest_since, tag) },
  ];
  return (
    <ListBody
      listed={listed}
      label={m.stock.backorderList}
      columns={columns}
      keyOf={(row) => row.item_id}
      hrefOf={(row) => itemHref(row.item_id)}
      empty={{ title: m.stock.noBackorders, detail: m.stock.noBackordersDetail }}
    />
  );
}
