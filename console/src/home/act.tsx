import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type AnalyticsSchemas, base, type OrderSchemas, type Service } from "../api/client";
import { Problem, problemOf } from "../api/problem";
import { ACTING } from "../api/session";
import { ActOnMany } from "../dead-letters/act-on-many";
import { useMessages } from "../messages/language";
import { ActionDialog } from "../parts/action-dialog";
import { ReasonField } from "../parts/reason-field";

type Remedy = AnalyticsSchemas["Remedy"];
type Decided = OrderSchemas["Decided"];
type Kind = "park" | "skip" | "end";

const PLACES = ["", "beginning", "end"] as const;

/** Offer what fixes a row. Dead letters can also be given up, because some events can never be handled. */
export function Act({ remedy }: { remedy: Remedy }) {
  const kind = remedy.url.slice(remedy.url.lastIndexOf(":") + 1);
  if (kind !== "resolve") return <Remedied remedy={remedy} kind={kind as Kind} />;
  const { fingerprint } = remedy.body["records"] as { fingerprint: string };
  return (
    <div className="actions">
      {(["redrive", "discard"] as const).map((action) => (
        <ActOnMany key={action} service={remedy.service as Service} fingerprint={fingerprint} action={action} offered />
      ))}
    </div>
  );
}

async function call(url: string, init: RequestInit): Promise<unknown> {
  const answer = await fetch(url, { ...init, cache: "no-store" }).catch(() => {
    throw new Problem(0, "", undefined, undefined);
  });
  if (!answer.ok) throw await problemOf(answer);
  return answer.json();
}

function Remedied({ remedy, kind }: { remedy: Remedy; kind: Kind }) {
  const m = useMessages();
  const queries = useQueryClient();
  const [input, setInput] = useState({ reason: "", place: "" });
  const send = (dryRun: boolean) =>
    call(`${base(remedy.service)}${remedy.url}${dryRun ? "?dry_run=true" : ""}`, {
      method: "POST",
      headers: {
        ...ACTING,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({
        ...remedy.body,
        ...(input.place && { move_to: input.place }),
        reason: input.reason,
      }),
    });
  const tried = useMutation({ mutationFn: () => send(true) });
  const done = useMutation({
    mutationFn: () => send(false),
    onSettled: () => queries.invalidateQueries({ queryKey: ["attention"] }),
  });
  const change = (next: Partial<typeof input>) => {
    // Another input needs another dry run.
    tried.reset();
    done.reset();
    setInput({ ...input, ...next });
  };
  return (
    <ActionDialog
      name={m.home.actions[kind]}
      explained={m.home.explained[kind]}
      offered
      error={done.error ?? tried.error}
      dryRun={{ run: () => tried.mutate(), ready: input.reason.trim() !== "", passed: tried.isSuccess }}
      run={() => done.mutate()}
      busy={tried.isPending || done.isPending}
      done={done.isSuccess}
    >
      {kind === "skip" && (
        <label>
          {m.home.moveTo}
          <select value={input.place} onChange={(event) => change({ place: event.target.value })}>
            {PLACES.map((place) => (
              <option key={place} value={place}>
                {m.home.places[place || "default"]}
              </option>
            ))}
          </select>
        </label>
      )}
      <ReasonField value={input.reason} onChange={(reason) => change({ reason })} />
      {(done.data ?? tried.data) !== undefined && (
        <section className="result" role="status">
          <strong>{done.data === undefined ? m.deadLetters.wouldHappen : m.deadLetters.happened}</strong>
          <p>{((done.data ?? tried.data) as Partial<Decided>).effect ?? m.home.ended}</p>
        </section>
      )}
    </ActionDialog>
  );
}
