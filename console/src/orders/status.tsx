import type { OrderSchemas } from "../api/client";
import { useMessages } from "../messages/language";

export type Status = OrderSchemas["Status"];

export const STATUSES = [
  "placed",
  "confirmed",
  "backordered",
  "rejected",
  "cancelled",
] as const satisfies readonly Status[];

const LOOKS: Record<Status, string> = {
  placed: "quiet",
  confirmed: "good",
  backordered: "warn",
  rejected: "bad",
  cancelled: "quiet",
};

export function StatusBadge({ status }: { status: Status }) {
  const m = useMessages();
  return <span className={`badge ${LOOKS[status]}`}>{m.orders.statuses[status]}</span>;
}
