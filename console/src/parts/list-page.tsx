import type { ReactNode } from "react";
import { useMessages, useTag } from "../messages/language";
import type { Listed } from "./lists";
import { count } from "./number";
import { type Column, Rows } from "./rows";
import { Failure, Freshness, Loading, Notice } from "./states";

interface Props<Row> {
  listed: Listed<Row>;
  label: string;
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  hrefOf?: (row: Row) => string;
  empty: { title: string; detail?: string };
}

/** Show a list in each of its states: loading, failed, empty, out of date, and with rows. */
export function ListBody<Row>({ listed, label, columns, keyOf, hrefOf, empty }: Props<Row>) {
  const m = useMessages();
  const tag = useTag();
  const { query, rows, more } = listed;
  if (rows === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const total = count(rows.length, tag);
  return (
    <div className="list-body">
      {rows.length === 0 ? (
        <Notice {...empty} />
      ) : (
        <Rows label={label} rows={rows} columns={columns} keyOf={keyOf} onEnd={more} {...(hrefOf && { hrefOf })} />
      )}
      <p className="foot">
        {rows.length > 0 && (
          <span>
            {query.isFetchingNextPage ? m.states.more : query.hasNextPage ? m.states.soFar(total) : m.states.end(total)}
          </span>
        )}
        <Freshness query={query} />
      </p>
    </div>
  );
}

/** A page: its title, what belongs beside it, and its content. */
export function Page({ title, aside, children }: { title: ReactNode; aside?: ReactNode; children: ReactNode }) {
  return (
    <div className="page">
      <div className="heading">
        <h1>{title}</h1>
        {aside}
      </div>
      {children}
    </div>
  );
}
