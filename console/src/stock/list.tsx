import { Link, useSearchParams } from "wouter";
import { type InventorySchemas, inventoryService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { FilterBar, TextFilter, useFilters } from "../parts/filters";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import type { Column } from "../parts/rows";
import { moment } from "../parts/time";
import { itemHref } from "./links";

type Item = InventorySchemas["ItemView"];
type Availability = InventorySchemas["Availability"];
type Short = InventorySchemas["ItemBackorders"];

/** An item with its levels. The levels are undefined if inventory-service knows none. */
type Row = Item & { level: Availability | undefined };

const PAGE = 100;

export default function StockPage() {
  const m = useMessages();
  const [search] = useSearchParams();
  const filters = useFilters(["category", "item"] as const);
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
            {backorders ? (
              <TextFilter
                label={m.stock.find}
                value={filters.values.item}
                onChange={(value) => filters.set("item", value)}
              />
            ) : (
              <TextFilter
                label={m.stock.category}
                value={filters.values.category}
                onChange={(value) => filters.set("category", value)}
              />
            )}
          </FilterBar>
        </>
      }
    >
      {backorders ? <Backorders item={filters.values.item} /> : <Levels category={filters.values.category} />}
    </Page>
  );
}

async function levels(category: string, cursor: string | undefined, signal: AbortSignal) {
  const query = { limit: PAGE, ...(category && { category }), ...(cursor && { cursor }) };
  const page = await read(inventoryService.GET("/v1/items", { params: { query }, signal }));
  if (page.items.length === 0) return { items: [], next: page.next };
  const wanted = { item_id: page.items.map((item) => item.item_id) };
  const found = await read(inventoryService.GET("/v1/availability", { params: { query: wanted }, signal }));
  const byItem = new Map(found.items.map((level) => [level.item_id, level]));
  return { items: page.items.map((item): Row => ({ ...item, level: byItem.get(item.item_id) })), next: page.next };
}

function Levels({ category }: { category: string }) {
  const m = useMessages();
  const tag = useTag();
  const listed = useList<Row>(["items", category], (cursor, signal) => levels(category, cursor, signal));
  const number = (name: string, header: string, of: (level: Availability) => number | null | undefined) => ({
    name,
    header,
    width: "7rem",
    numeric: true,
    cell: (row: Row) => count(row.level === undefined ? null : of(row.level), tag),
  });
  const columns: Column<Row>[] = [
    { name: "item", header: m.stock.item, width: "minmax(8rem, 1fr)", cell: (row) => row.item_id },
    {
      name: "description",
      header: m.stock.description,
      width: "minmax(8rem, 2fr)",
      cell: (row) => row.description ?? "—",
    },
    number("available", m.stock.available, (level) => level.available),
    number("onHand", m.stock.onHand, (level) => level.on_hand),
    number("reserved", m.stock.reserved, (level) => level.reserved),
    { name: "unit", header: m.stock.unit, width: "5rem", cell: (row) => row.unit_of_measure },
    { name: "status", header: m.stock.status, width: "7rem", cell: (row) => m.stock.statuses[row.status] },
  ];
  return (
    <ListBody
      listed={listed}
      label={m.stock.list}
      columns={columns}
      keyOf={(row) => row.item_id}
      hrefOf={(row) => itemHref(row.item_id)}
      empty={{ title: m.stock.empty, detail: m.stock.emptyDetail }}
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
