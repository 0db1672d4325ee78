import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type OrderSchemas, opsOf, read, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ActionDialog } from "../parts/action-dialog";
import { count } from "../parts/number";
import { ReasonField } from "../parts/reason-field";
import { headersFrom } from "./headers";
import { lossless } from "./lossless";

type Letter = OrderSchemas["DeadLetter"];
type Resolution = OrderSchemas["Resolution"];

export const ACTIONS = ["redrive", "resend", "discard"] as const;
export type Action = (typeof ACTIONS)[number];

interface Input {
  reason: string;
  value: string;
  /** A JSON object. */
  headers: string;
}

async function send(service: Service, letter: Letter, action: Action, input: Input, dryRun: boolean) {
  const client = opsOf(service);
  const params = { path: { id: letter.id }, query: { dry_run: dryRun } };
  const { reason, value } = input;
  if (action === "redrive") return read(client.POST("/v1/dead-letters/{id}:redrive", { params, body: { reason } }));
  if (action === "discard") return read(client.POST("/v1/dead-letters/{id}:discard", { params, body: { reason } }));
  const body = { reason, value, headers: headersFrom(input.headers) };
  return read(client.POST("/v1/dead-letters/{id}:resend", { params, body }));
}

/** Act on a dead letter in two steps: a dry run that shows the result, then the same action for good. */
export function Act({ service, letter, action }: { service: Service; letter: Letter; action: Action }) {
  const m = useMessages();
  const queries = useQueryClient();
  const [input, setInput] = useState<Input>(() => ({
    reason: "",
    value: letter.value,
    headers: JSON.stringify(letter.headers, null, 2),
  }));
  const tried = useMutation({ mutationFn: () => send(service, letter, action, input, true) });
  const done = useMutation({
    mutationFn: () => send(service, letter, action, input, false),
    onSettled: () => queries.invalidateQueries({ queryKey: ["dead-letter", service, letter.id] }),
  });
  const change = (next: Partial<Input>) => {
    // Another input needs another dry run.
    tried.reset();
    done.reset();
    setInput({ ...input, ...next });
  };
  const result = done.data ?? tried.data;
  return (
    <ActionDialog
      name={m.deadLetters.actions[action]}
      explained={m.deadLetters.explained[action]}
      offered={letter.state === "poison"}
      error={done.error ?? tried.error}
      dryRun={{ run: () => tried.mutate(), ready: input.reason.trim() !== "", passed: tried.isSuccess }}
      run={() => done.mutate()}
      busy={tried.isPending || done.isPending}
      done={done.isSuccess}
    >
      {action === "resend" && (
        <>
          {!lossless(letter) && <p className="stale">{m.deadLetters.notText}</p>}
          <Text label={m.deadLetters.corrected} value={input.value} onChange={(value) => change({ value })} />
          <Text label={m.deadLetters.headers} value={input.headers} onChange={(headers) => change({ headers })} />
        </>
      )}
      <ReasonField value={input.reason} onChange={(reason) => change({ reason })} />
      {result && <Result result={result} />}
    </ActionDialog>
  );
}

function Text({ label, value, onChange }: { label: string; value: string; onChange: (value: string) => void }) {
  return (
    <label>
      {label}
      <textarea
        className="mono"
        rows={8}
        spellCheck={false}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}

function Result({ result }: { result: Resolution }) {
  const m = useMessages();
  const tag = useTag();
  return (
    <section className="result" role="status">
      <strong>{result.dry_run ? m.deadLetters.wouldHappen : m.deadLetters.happened}</strong>
      <ul>
        <li>{m.deadLetters.applied(count(result.applied, tag))}</li>
        <li>{m.deadLetters.published(result.published.length === 0 ? m.states.none : result.published.join(", "))}</li>
        <li>{m.deadLetters.left(count(result.left, tag))}</li>
        {result.failure && <li className="stale">{m.deadLetters.failsAgain(result.failure)}</li>}
      </ul>
    </section>
  );
}
