import { type OrderSchemas, orderService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ChoiceFilter, FilterBar, TextFilter, useFilters } from "../parts/filters";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { money } from "../parts/number";
import type { Column } from "../parts/rows";
import { Notice } from "../parts/states";
import { moment } from "../parts/time";
import { STATUSES, StatusBadge } from "./status";
import { useWaiting } from "./waiting";

type Order = OrderSchemas["OrderSummary"];

const NAMES = ["partner", "status", "reference", "customer", "item"] as const;
const PAGE = 100;

export default function OrdersPage() {
  const m = useMessages();
  const tag = useTag();
  const waiting = useWaiting();
  const filters = useFilters(NAMES);
  const { partner, status, reference, customer, item } = filters.values;
  const chosen = STATUSES.find((each) => each === status);
  const listed = useList<Order>(
    ["orders", partner, status, reference, customer, item],
    (cursor, signal) => {
      const query = {
        limit: PAGE,
        partner,
        ...(chosen && { status: chosen }),
        ...(reference && { reference }),
        ...(customer && { customer_id: customer }),
        ...(item && { waiting_item: item }),
        ...(cursor && { cursor }),
      };
      return read(orderService.GET("/v1/orders", { params: { query }, signal }));
    },
    partner !== "",
  );
  const columns: Column<Order>[] = [
    {
      name: "reference",
      header: m.orders.reference,
      width: "minmax(8rem, 1.4fr)",
      cell: (order) => order.reference,
    },
    { name: "status", header: m.orders.status, width: "8rem", cell: (order) => <StatusBadge status={order.status} /> },
    { name: "placed", header: m.orders.placed, width: "12rem", cell: (order) => moment(order.placed_at, tag) },
    {
      name: "total",
      header: m.orders.total,
      width: "9rem",
      numeric: true,
      cell: (order) => money(order.total, order.currency),
    },
    { name: "priority", header: m.orders.priority, width: "5rem", numeric: true, cell: (order) => order.priority },
    {
      name: "waits",
      header: m.orders.waits,
      width: "minmax(10rem, 2fr)",
      cell: (order) => waiting(order.waiting) ?? "—",
    },
  ];
  return (
    <Page
      title={m.orders.title}
      aside={
        <FilterBar filters={filters}>
          <TextFilter label={m.orders.partner} value={partner} onChange={(value) => filters.set("partner", value)} />
          <ChoiceFilter
            label={m.orders.status}
            value={chosen ?? ""}
            choices={[["", m.orders.all], ...STATUSES.map((each) => [each, m.orders.statuses[each]] as const)]}
            onChange={(value) => filters.set("status", value)}
          />
          <TextFilter
            label={m.orders.reference}
            value={reference}
            onChange={(value) => filters.set("reference", value)}
          />
          <TextFilter label={m.orders.customer} value={customer} onChange={(value) => filters.set("customer", value)} />
          <TextFilter label={m.orders.item} value={item} onChange={(value) => filters.set("item", value)} />
        </FilterBar>
      }
    >
      {partner === "" ? (
        <Notice title={m.orders.partnerWanted} detail={m.orders.partnerWantedDetail} />
      ) : (
        <ListBody
          listed={listed}
          label={m.orders.list}
          columns={columns}
          keyOf={(order) => order.id}
          hrefOf={(order) => `/orders/${order.id}`}
          empty={{ title: m.orders.empty, detail: filters.any ? m.orders.emptyFiltered : m.orders.emptyDetail }}
        />
      )}
    </Page>
  );
}
