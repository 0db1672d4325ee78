import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type InventorySchemas, inventoryService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ActionDialog } from "../parts/action-dialog";
import { count } from "../parts/number";

type Item = InventorySchemas["ItemView"];

const LOCATIONS = 200;

/** Book goods that have come. A reference counts once, so a second click or another try books nothing twice. */
export function Receive({ item }: { item: Item }) {
  const m = useMessages();
  const tag = useTag();
  const queries = useQueryClient();
  const [input, setInput] = useState({ location: "", quantity: "", reference: "" });
  const locations = useQuery({
    queryKey: ["locations"],
    queryFn: ({ signal }) =>
      read(inventoryService.GET("/v1/locations", { params: { query: { limit: LOCATIONS } }, signal })),
  });
  const known = locations.data?.items ?? [];
  const location = input.location || known[0]?.location_id || "";
  const quantity = Number(input.quantity);
  const done = useMutation({
    mutationFn: () =>
      read(
        inventoryService.POST("/v1/receipts", {
          body: {
            reference: input.reference.trim(),
            location_id: location,
            lines: [{ item_id: item.item_id, quantity }],
          },
        }),
      ),
    onSettled: () => queries.invalidateQueries(),
  });
  const change = (next: Partial<typeof input>) => {
    done.reset();
    setInput({ ...input, ...next });
  };
  return (
    <ActionDialog
      name={m.stock.receive}
      explained={m.stock.receiveExplained}
      offered={item.status === "active"}
      error={done.error ?? locations.error}
      ready={location !== "" && quantity > 0 && Number.isInteger(quantity) && input.reference.trim() !== ""}
      run={() => done.mutate()}
      busy={done.isPending}
      done={done.isSuccess}
    >
      {locations.isSuccess && known.length === 0 && <p className="stale">{m.stock.noLocations}</p>}
      <label>
        {m.stock.location}
        <select value={location} onChange={(event) => change({ location: event.target.value })}>
          {known.map((each) => (
            <option key={each.location_id} value={each.location_id}>
              {each.location_id === each.name ? each.name : `${each.location_id}: ${each.name}`}
            </option>
          ))}
        </select>
      </label>
      <label>
        {m.stock.units} ({item.unit_of_measure})
        <input
          type="number"
          min={1}
          step={1}
          value={input.quantity}
          onChange={(event) => change({ quantity: event.target.value })}
        />
      </label>
      <label>
        {m.stock.deliveryNote}
        <input
          type="text"
          maxLength={64}
          value={input.reference}
          onChange={(event) => change({ reference: event.target.value })}
        />
      </label>
      {done.isSuccess && <p role="status">{m.stock.received(count(quantity, tag), location)}</p>}
    </ActionDialog>
  );
}
