import type { ReactNode } from "react";
import { Problem } from "../api/problem";
import { signInUrl } from "../api/session";
import { useMessages, useTag } from "../messages/language";
import { shortClock } from "./time";
import "./states.css";

/** A message in place of content: empty lists, failures, pages that do not exist. */
export function Notice({
  title,
  detail,
  children,
}: {
  title: string;
  detail?: string | undefined;
  children?: ReactNode;
}) {
  return (
    <section className="notice">
      <h2>{title}</h2>
      {detail !== undefined && <p>{detail}</p>}
      {children}
    </section>
  );
}

export function Loading() {
  const m = useMessages();
  return (
    <p className="loading" role="status">
      {m.states.loading}
    </p>
  );
}

/** Show why something could not be loaded, with the step that may help: sign in, or try again. */
export function Failure({ error, again }: { error: Error; again: () => void }) {
  const m = useMessages();
  if (error instanceof Problem && error.status === 401) {
    return (
      <Notice title={m.states.signedOut} detail={m.states.signedOutDetail}>
        <a className="button" href={signInUrl()}>
          {m.states.signIn}
        </a>
      </Notice>
    );
  }
  const answered = error instanceof Problem && error.status !== 0;
  return (
    <Notice title={answered ? error.title : m.states.failed} detail={answered ? error.detail : m.states.unreachable}>
      <button type="button" className="button" onClick={again}>
        {m.states.again}
      </button>
    </Notice>
  );
}

/** Show how old the data is, and whether the last try to read it again failed. */
export function Freshness({ query }: { query: { dataUpdatedAt: number; error: Error | null } }) {
  const m = useMessages();
  const tag = useTag();
  if (query.dataUpdatedAt === 0) return null;
  const at = shortClock(query.dataUpdatedAt, tag);
  return query.error === null ? (
    <span>{m.states.asOf(at)}</span>
  ) : (
    <strong className="stale" role="status">
      {m.states.stale(at)}
    </strong>
  );
}
