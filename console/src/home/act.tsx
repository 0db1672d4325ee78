import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type AnalyticsSchemas, base, type OrderSchemas } from "../api/client";
import { Problem, problemOf } from "../api/problem";
import { ACTING } from "../api/session";
import { useMessages, useTag } from "../messages/language";
import { ActionDialog } from "../parts/action-dialog";
import { count } from "../parts/number";

type Remedy = AnalyticsSchemas["Remedy"];
type Trial = OrderSchemas["DryRunResult"];
type Job = OrderSchemas["StoredJob"];
type Decided = OrderSchemas["Decided"];
type Kind = "redrive" | "discard" | "park" | "skip" | "end";

const REFRESH_MS = 1_000;
const PLACES = ["", "beginning", "end"] as const;

/** Offer what fixes a row. Dead letters can also be given up, because some events can never be handled. */
export function Act({ remedy }: { remedy: Remedy }) {
  const kind = remedy.url.slice(remedy.url.lastIndexOf(":") + 1);
  const kinds: readonly Kind[] = kind === "resolve" ? ["redrive", "discard"] : [kind as Kind];
  return (
    <div className="remedies">
      {kinds.map((each) => (
        <Remedied key={each} remedy={remedy} kind={each} />
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
  const [input, setInput] = useState({ reason: "", place: "", key: crypto.randomUUID() as string });
  const many = kind === "redrive" || kind === "discard";
  const send = (dryRun: boolean) =>
    call(`${base(remedy.service)}${remedy.url}${dryRun ? "?dry_run=true" : ""}`, {
      method: "POST",
      headers: {
        ...ACTING,
        "Content-Type": "application/json",
        ...(many && !dryRun && { "Idempotency-Key": input.key }),
      },
      body: JSON.stringify({
        ...remedy.body,
        ...(many && { action: kind }),
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
    // Another input needs another dry run, and is another request.
    tried.reset();
    done.reset();
    setInput({ ...input, ...next, key: crypto.randomUUID() });
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
      <label>
        {m.deadLetters.why}
        <input
          type="text"
          maxLength={500}
          value={input.reason}
          onChange={(event) => change({ reason: event.target.value })}
        />
      </label>
      {many && done.data !== undefined && <Progress service={remedy.service} job={done.data as Job} />}
      {many && done.data === undefined && tried.data !== undefined && <Tried trial={tried.data as Trial} />}
      {!many && (done.data ?? tried.data) !== undefined && (
        <section className="result" role="status">
          <strong>{done.data === undefined ? m.deadLetters.wouldHappen : m.deadLetters.happened}</strong>
          <p>{((done.data ?? tried.data) as Partial<Decided>).effect ?? m.home.ended}</p>
        </section>
      )}
    </ActionDialog>
  );
}

function Tried({ trial }: { trial: Trial }) {
  const m = useMessages();
  const tag = useTag();
  const failing = trial.attempts.filter((each) => each.outcome === "still-poison");
  return (
    <section className="result" role="status">
      <strong>{m.deadLetters.wouldHappen}</strong>
      <ul>
        <li>{m.home.wouldResolve(count(trial.records, tag), count(trial.keys, tag))}</li>
        <li>{m.home.tried(count(trial.attempts.length, tag), count(failing.length, tag))}</li>
        {failing[0]?.reason && <li className="stale">{m.deadLetters.failsAgain(failing[0].reason)}</li>}
      </ul>
    </section>
  );
}

/** Show how far the job is that handles the events. */
function Progress({ service, job }: { service: string; job: Job }) {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["job", service, job.id],
    queryFn: async ({ signal }) => (await call(`${base(service)}/v1/jobs/${job.id}`, { signal })) as Job,
    initialData: job,
    refetchInterval: (state) => (state.state.data?.finished_at ? false : REFRESH_MS),
  });
  const { status, done, total, error } = query.data;
  return (
    <section className="result" role="status">
      <strong>{m.home.jobs[status]}</strong>
      <p>{m.home.progress(count(done, tag), count(total, tag))}</p>
      {error && <p className="stale">{error}</p>}
    </section>
  );
}
