import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type AnalyticsSchemas, analyticsService, type InventorySchemas, inventoryService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading } from "../parts/states";
import { moment, precise } from "../parts/time";
import { Receive } from "./receive";

/** A line that waits, with its turn, and the order if analytics-service knows it. */
type Backorder = InventorySchemas["Backorder"] & {
  turn: number;
  order: AnalyticsSchemas["OrderNow"] | undefined;
};
type Level = InventorySchemas["LocationLevel"];
type Movement = InventorySchemas["MovementView"];

const REFRESH_MS = 5_000;
const PAGE = 100;

export default function ItemPage({ params }: { params: { item: string } }) {
  const m = useMessages();
  const tag = useTag();
  const item = params.item;
  const query = useQuery({
    queryKey: ["item", item],
    queryFn: async ({ signal }) => {
      const [view, found] = await Promise.all([
        read(inventoryService.GET("/v1/items/{item_id}", { params: { path: { item_id: item } }, signal })),
        read(inventoryService.GET("/v1/availability", { params: { query: { item_id: [item] } }, signal })),
      ]);
      return { view, level: found.items.find((each) => each.item_id === item) };
    },
    refetchInterval: REFRESH_MS,
  });
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const { view, level } = query.data;
  return (
    <Page
      title={view.item_id}
      aside={
        <>
          <Link href="/stock">{m.stock.allItems}</Link>
          <Link href={`/orders?item=${encodeURIComponent(item)}`}>{m.orders.item}</Link>
          <Freshness query={query} />
          <Receive item={view} />
        </>
      }
    >
      <div className="sections">
        <Section>
          <Facts>
            <Fact name={m.stock.description}>{view.description ?? m.states.none}</Fact>
            <Fact name={m.stock.category}>{view.category ?? m.states.none}</Fact>
            <Fact name={m.stock.status}>{m.stock.statuses[view.status]}</Fact>
            <Fact name={m.stock.unit}>{view.unit_of_measure}</Fact>
            <Fact name={m.stock.available}>{count(level?.available, tag)}</Fact>
            <Fact name={m.stock.onHand}>{count(level?.on_hand, tag)}</Fact>
            <Fact name={m.stock.reserved}>{count(level?.reserved, tag)}</Fact>
          </Facts>
        </Section>
        <Locations levels={level?.locations ?? []} />
        <Queue item={item} />
        <Ledger item={item} />
      </div>
    </Page>
  );
}

function Locations({ levels }: { levels: readonly Level[] }) {
  const m = useMessages();
  const tag = useTag();
  const columns: Column<Level>[] = [
    { name: "location", header: m.stock.location, width: "minmax(8rem, 2fr)", cell: (level) => level.location_id },
    ...(["available", "on_hand", "reserved"] as const).map((name) => ({
      name,
      header: { available: m.stock.available, on_hand: m.stock.onHand, reserved: m.stock.reserved }[name],
      width: "7rem",
      numeric: true,
      cell: (level: Level) => count(level[name], tag),
    })),
  ];
  return (
    <Section title={m.stock.locations} list={{ rows: levels.length, columns: columns.length }}>
      {levels.length === 0 ? (
        <p className="none">{m.stock.noLevels}</p>
      ) : (
        <Rows label={m.stock.locations} rows={levels} columns={columns} keyOf={(level) => level.location_id} />
      )}
    </Section>
  );
}

/** Return a page of the lines that wait for an item, in their turn, with what analytics-service knows of their orders. */
async function queue(item: string, cursor: string | undefined, signal: AbortSignal) {
  const page = await read(
    inventoryService.GET("/v1/backorders/orders", {
      params: { query: { item_id: item, limit: PAGE, ...(cursor && { cursor }) } },
      signal,
    }),
  );
  const ids = [...new Set(page.items.map((each) => each.order_id))];
  const known =
    ids.length === 0
      ? []
      : await read(
          analyticsService.GET("/v1/orders", { params: { query: { order_id: ids, limit: ids.length } }, signal }),
        ).then(
          (found) => found.items,
          () => [], // the turn is known without it
        );
  const byId = new Map(known.map((each) => [each.id, each]));
  return { items: page.items.map((each) => ({ ...each, turn: 0, order: byId.get(each.order_id) })), next: page.next };
}

function Queue({ item }: { item: string }) {
  const m = useMessages();
  const tag = useTag();
  const listed = useList<Backorder>(["queue", item], (cursor, signal) => queue(item, cursor, signal));
  const rows = listed.rows?.map((row, index) => ({ ...row, turn: index + 1 }));
  const columns: Column<Backorder>[] = [
    {
      name: "order",
      header: m.stock.order,
      width: "minmax(9rem, 2fr)",
      cell: (row) => row.order?.reference ?? <span className="mono">{row.order_id}</span>,
    },
    { name: "partner", header: m.orders.partner, width: "minmax(6rem, 1fr)", cell: (row) => row.order?.partner ?? "—" },
    { name: "turn", header: m.stock.turn, width: "4rem", numeric: true, cell: (row) => count(row.turn, tag) },
    { name: "line", header: m.stock.line, width: "6rem", cell: (row) => row.line_id },
    { name: "priority", header: m.stock.priority, width: "5rem", numeric: true, cell: (row) => row.priority },
    {
      name: "missing",
      header: m.stock.missing,
      width: "8rem",
      numeric: true,
      cell: (row) => count(row.quantity, tag),
    },
    { name: "since", header: m.stock.since, width: "12rem", cell: (row) => moment(row.since, tag) },
  ];
  return (
    <Section title={m.stock.queue} list={{ rows: rows?.length ?? 1, columns: columns.length, foot: true }}>
      {rows?.length === 0 ? (
        <p className="none">{m.stock.noQueue}</p>
      ) : (
        <ListBody
          listed={{ ...listed, rows }}
          label={m.stock.queue}
          columns={columns}
          keyOf={(row) => `${row.order_id} ${row.line_id}`}
          hrefOf={(row) => `/orders/${row.order_id}`}
          empty={{ title: m.stock.noBackorders, detail: m.stock.noQueue }}
        />
      )}
    </Section>
  );
}

function Ledger({ item }: { item: string }) {
  const m = useMessages();
  const tag = useTag();
  const signed = (value: number) => (value > 0 ? `+${count(value, tag)}` : count(value, tag));
  const listed = useList<Movement>(["ledger", item], (cursor, signal) =>
    read(
      inventoryService.GET("/v1/ledger", {
        params: { query: { item_id: item, limit: PAGE, ...(cursor && { cursor }) } },
        signal,
      }),
    ),
  );
  const columns: Column<Movement>[] = [
    { name: "time", header: m.stock.time, width: "14rem", cell: (row) => precise(row.at, tag) },
    {
      name: "kind",
      header: m.stock.kind,
      width: "8rem",
      cell: (row) => m.stock.kinds[row.kind as keyof typeof m.stock.kinds] ?? row.kind,
    },
    { name: "location", header: m.stock.location, width: "minmax(6rem, 1fr)", cell: (row) => row.location_id },
    {
      name: "onHand",
      header: m.stock.onHand,
      width: "6rem",
      numeric: true,
      cell: (row) => signed(row.on_hand),
    },
    {
      name: "reserved",
      header: m.stock.reserved,
      width: "6rem",
      numeric: true,
      cell: (row) => signed(row.reserved),
    },
    { name: "reference", header: m.stock.reference, width: "minmax(8rem, 2fr)", cell: (row) => row.reference },
  ];
  return (
    <Section title={m.stock.ledger} list={{ rows: listed.rows?.length ?? 1, columns: columns.length, foot: true }}>
      {listed.rows?.length === 0 ? (
        <p className="none">{m.stock.noLedger}</p>
      ) : (
        <ListBody
          listed={listed}
          label={m.stock.ledger}
          columns={columns}
          keyOf={(row) => String(row.id)}
          empty={{ title: m.stock.ledger, detail: m.stock.noLedger }}
        />
      )}
    </Section>
  );
}
