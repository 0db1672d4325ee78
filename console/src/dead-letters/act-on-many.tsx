import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { type OrderSchemas, opsOf, read, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ActionDialog } from "../parts/action-dialog";
import { duration } from "../parts/duration";
import { count } from "../parts/number";
import { ReasonField } from "../parts/reason-field";
import { jobHref } from "./links";
import { atLeast } from "./sort";

type Trial = OrderSchemas["DryRunResult"];
type Job = OrderSchemas["StoredJob"];

export const MANY = ["redrive", "resend", "discard"] as const;
export type ActionOnMany = (typeof MANY)[number];

/** The headers that can be replaced in many events at once. */
const HEADERS = ["ce_type", "ce_source", "ce_specversion", "ce_dataschema", "content-type"] as const;
const FASTEST = 1_000;

interface Props {
  service: Service;
  fingerprint: string;
  action: ActionOnMany;
  offered: boolean;
}

/** Act on all events that failed for one reason: a dry run shows numbers, then a job does it and its page opens. */
export function ActOnMany({ service, fingerprint, action, offered }: Props) {
  const m = useMessages();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [input, setInput] = useState(() => ({
    reason: "",
    rate: String(FASTEST),
    headers: {} as Partial<Record<(typeof HEADERS)[number], string>>,
    key: crypto.randomUUID() as string,
  }));
  const rate = Number(input.rate);
  const headers = Object.fromEntries(Object.entries(input.headers).filter(([, value]) => value.trim() !== ""));
  const send = (dryRun: boolean) => {
    const common = { records: { fingerprint }, reason: input.reason, records_per_second: rate };
    const params = { query: { dry_run: dryRun }, header: { "Idempotency-Key": input.key } };
    const body = action === "resend" ? { ...common, action, headers } : { ...common, action };
    return read(opsOf(service).POST("/v1/dead-letters:resolve", { params, body }));
  };
  const tried = useMutation({ mutationFn: async () => (await send(true)) as Trial });
  const done = useMutation({
    mutationFn: async () => (await send(false)) as Job,
    onSuccess: (job) => navigate(jobHref(service, job.id)),
    onSettled: () => queries.invalidateQueries({ queryKey: ["attention"] }),
  });
  const change = (next: Partial<typeof input>) => {
    // Another input needs another dry run, and is another request.
    tried.reset();
    done.reset();
    setInput({ ...input, ...next, key: crypto.randomUUID() });
  };
  const complete =
    input.reason.trim() !== "" &&
    Number.isInteger(rate) &&
    rate >= 1 &&
    rate <= FASTEST &&
    (action !== "resend" || Object.keys(headers).length > 0);
  return (
    <ActionDialog
      name={m.deadLetters.actions[action]}
      explained={m.deadLetters.explainedMany[action]}
      offered={offered}
      error={done.error ?? tried.error}
      dryRun={{ run: () => tried.mutate(), ready: complete, passed: tried.isSuccess }}
      run={() => done.mutate()}
      busy={tried.isPending || done.isPending}
      done={done.isSuccess}
    >
      {action === "resend" &&
        HEADERS.map((name) => (
          <label key={name} className="mono">
            {name}
            <input
              type="text"
              maxLength={255}
              spellCheck={false}
              value={input.headers[name] ?? ""}
              onChange={(event) => change({ headers: { ...input.headers, [name]: event.target.value } })}
            />
          </label>
        ))}
      <label>
        {m.deadLetters.perSecond}
        <input
          type="number"
          min={1}
          max={FASTEST}
          step={1}
          value={input.rate}
          onChange={(event) => change({ rate: event.target.value })}
        />
      </label>
      <ReasonField value={input.reason} onChange={(reason) => change({ reason })} />
      {tried.data && <Tried trial={tried.data} rate={rate} />}
    </ActionDialog>
  );
}

function Tried({ trial, rate }: { trial: Trial; rate: number }) {
  const m = useMessages();
  const tag = useTag();
  const failing = trial.attempts.filter((each) => each.outcome === "still-poison");
  const skipped = trial.attempts.filter((each) => each.outcome === "skipped");
  const number = (value: number) => atLeast(value, count(value, tag));
  return (
    <section className="result" role="status">
      <strong>{m.deadLetters.wouldHappen}</strong>
      <ul>
        <li>{m.deadLetters.wouldResolve(number(trial.records), number(trial.keys))}</li>
        <li>{m.deadLetters.wouldRelease(number(trial.waiting))}</li>
        <li>{m.deadLetters.tried(count(trial.attempts.length, tag), count(failing.length, tag))}</li>
        {failing[0]?.reason && <li className="stale">{m.deadLetters.failsAgain(failing[0].reason)}</li>}
        {skipped[0]?.reason && (
          <li className="stale">{m.deadLetters.skips(count(skipped.length, tag), skipped[0].reason)}</li>
        )}
        <li>{m.deadLetters.takes(duration(((trial.records + trial.waiting) * 1_000) / rate, tag))}</li>
      </ul>
    </section>
  );
}
