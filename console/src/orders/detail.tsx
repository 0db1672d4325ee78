import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type OrderSchemas, orderService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { Page } from "../parts/list-page";
import { count, money } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { momentInZone } from "../parts/time";
import { CancelOrder } from "./cancel";
import { OrderDiagnosis } from "./diagnosis";
import { StatusBadge } from "./status";
import { OrderTimeline } from "./timeline";
import { OrderTrace } from "./trace";

type Order = OrderSchemas["OrderView"];
type Line = OrderSchemas["LineView"];

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const REFRESH_MS = 5_000;

export default function OrderPage({ params }: { params: { id: string } }) {
  const m = useMessages();
  if (!UUID.test(params.id)) return <Notice title={m.orders.bad} detail={m.orders.badDetail} />;
  return <OrderOf id={params.id} />;
}

function OrderOf({ id }: { id: string }) {
  const m = useMessages();
  const query = useQuery({
    queryKey: ["order", id],
    queryFn: ({ signal }) =>
      read(orderService.GET("/v1/orders/{order_id}", { params: { path: { order_id: id } }, signal })),
    refetchInterval: REFRESH_MS,
  });
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const order = query.data;
  return (
    <Page
      title={order.reference}
      aside={
        <>
          <StatusBadge status={order.status} />
          <Link href="/orders">{m.orders.allOrders}</Link>
          <Link href={`/live?order_id=${order.id}&from=30d`}>{m.orders.rawEvents}</Link>
          <Freshness query={query} />
          <CancelOrder order={order} />
        </>
      }
    >
      <div className="sections">
        <OrderDiagnosis id={id} version={order.version} />
        <OrderFacts order={order} />
        <OrderLines order={order} />
        <OrderTimeline id={id} version={order.version} />
        <OrderTrace id={id} version={order.version} />
      </div>
    </Page>
  );
}

function OrderFacts({ order }: { order: Order }) {
  const m = useMessages();
  const tag = useTag();
  const place = order.ship_to;
  return (
    <Section>
      <Facts>
        <Fact name={m.orders.placed}>{momentInZone(order.placed_at, tag)}</Fact>
        <Fact name={m.orders.decided}>{momentInZone(order.decided_at, tag)}</Fact>
        <Fact name={m.orders.total}>{money(order.total, order.currency)}</Fact>
        <Fact name={m.orders.customer}>{order.customer_id ?? m.states.none}</Fact>
        <Fact name={m.orders.priority}>{order.priority}</Fact>
        <Fact name={m.orders.partial}>{order.partial ? m.states.yes : m.states.no}</Fact>
        <Fact name={m.orders.requested}>{order.requested_date ?? m.states.none}</Fact>
        <Fact name={m.orders.shipTo}>
          {[place?.name, place?.street, place?.postcode, place?.city, place?.region, place?.country]
            .filter(Boolean)
            .join(", ") || m.states.none}
        </Fact>
        <Fact name={m.orders.reason}>{order.reason ?? m.states.none}</Fact>
        <Fact name={m.orders.version}>{order.version}</Fact>
      </Facts>
    </Section>
  );
}

function OrderLines({ order }: { order: Order }) {
  const m = useMessages();
  const tag = useTag();
  const short = new Map(order.waiting?.lines.map((line) => [line.line_id, line]));
  const columns: Column<Line>[] = [
    { name: "line", header: m.orders.line, width: "6rem", cell: (line) => line.line_id },
    {
      name: "item",
      header: m.orders.lineItem,
      width: "minmax(8rem, 1fr)",
      cell: (line) => <Link href={`/stock/${encodeURIComponent(line.item_id)}`}>{line.item_id}</Link>,
    },
    {
      name: "quantity",
      header: m.orders.quantity,
      width: "7rem",
      numeric: true,
      cell: (line) => `${count(line.quantity, tag)} ${line.unit ?? ""}`,
    },
    {
      name: "missing",
      header: m.orders.missing,
      width: "6rem",
      numeric: true,
      cell: (line) => count(short.get(line.line_id)?.missing ?? (order.waiting?.for === "answer" ? null : 0), tag),
    },
    {
      name: "price",
      header: m.orders.price,
      width: "8rem",
      numeric: true,
      cell: (line) => money(line.unit_price, order.currency),
    },
    {
      name: "amount",
      header: m.orders.amount,
      width: "8rem",
      numeric: true,
      cell: (line) => money(line.amount, order.currency),
    },
  ];
  return (
    <Section title={m.orders.lines} list={{ rows: order.lines.length, columns: columns.length }}>
      <Rows label={m.orders.lines} rows={order.lines} columns={columns} keyOf={(line) => line.line_id} />
    </Section>
  );
}
