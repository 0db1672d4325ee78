import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type OrderSchemas, orderService, read } from "../api/client";
import { useMessages } from "../messages/language";
import { ActionDialog } from "../parts/action-dialog";

type Order = OrderSchemas["OrderView"];
type Reason = NonNullable<OrderSchemas["Cancellation"]["reason"]>;

const REASONS = [
  "partner_request",
  "customer_request",
  "ordered_by_mistake",
  "duplicate_order",
  "too_slow",
  "replaced",
  "other",
] as const satisfies readonly Reason[];

/** Cancel an order for its partner. If the order has changed since it was shown, the service refuses. */
export function CancelOrder({ order }: { order: Order }) {
  const m = useMessages();
  const queries = useQueryClient();
  const [reason, setReason] = useState<Reason>("partner_request");
  const [note, setNote] = useState("");
  const done = useMutation({
    mutationFn: () =>
      read(
        orderService.POST("/v1/orders/{order_id}:cancel", {
          params: { path: { order_id: order.id }, header: { "If-Match": `"${order.version}"` } },
          body: { reason, ...(note.trim() !== "" && { note: note.trim() }) },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ["order", order.id] }),
  });
  return (
    <ActionDialog
      name={m.orders.cancel}
      explained={m.orders.cancelExplained}
      offered={order.status !== "cancelled" && order.status !== "rejected"}
      error={done.error}
      run={() => done.mutate()}
      busy={done.isPending}
      done={done.isSuccess}
    >
      <label>
        {m.orders.reason}
        <select value={reason} onChange={(event) => setReason(event.target.value as Reason)}>
          {REASONS.map((each) => (
            <option key={each} value={each}>
              {m.orders.reasons[each]}
            </option>
          ))}
        </select>
      </label>
      <label>
        {m.orders.note}
        <input type="text" maxLength={2000} value={note} onChange={(event) => setNote(event.target.value)} />
      </label>
      {done.isSuccess && <p role="status">{m.orders.cancelled}</p>}
    </ActionDialog>
  );
}
