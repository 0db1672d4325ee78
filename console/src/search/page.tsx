import { useQuery } from "@tanstack/react-query";
import { Link, Redirect, useSearchParams } from "wouter";
import { analyticsService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { Page } from "../parts/list-page";
import { Section } from "../parts/sections";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { moment } from "../parts/time";
import { shortType } from "../parts/type-name";
import { byKind, type Match, type Matches, onlyOne } from "./matches";

const MOST = 50;

export default function SearchPage() {
  const m = useMessages();
  const [search] = useSearchParams();
  const q = search.get("q")?.trim() ?? "";
  const query = useQuery({
    queryKey: ["search", q],
    queryFn: ({ signal }) =>
      read(analyticsService.GET("/v1/search", { params: { query: { q, limit: MOST } }, signal })),
    enabled: q !== "",
  });
  if (q === "") return <Notice title={m.search.nothingTyped} detail={m.search.what} />;
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const only = search.has("go") ? onlyOne(query.data) : undefined;
  if (only !== undefined) return <Redirect to={only} replace />;
  return (
    <Page title={m.search.title(q)} aside={<Freshness query={query} />}>
      <Found found={query.data} />
    </Page>
  );
}

function Found({ found }: { found: Matches }) {
  const m = useMessages();
  const searched = [...new Set(found.searched.map((each) => m.search.kinds[each.kind]))].join(" · ");
  if (found.items.length === 0) return <Notice title={m.search.nothing} detail={m.search.searched(searched)} />;
  return (
    <div className="sections">
      {byKind(found).map(({ kind, items }) => (
        <Section key={`${kind.kind} ${kind.by}`} title={m.search.kinds[kind.kind]}>
          <ul className="found" aria-label={m.search.kinds[kind.kind]}>
            {items.map((each) => (
              <Result key={each.link} match={each} />
            ))}
          </ul>
          {kind.more && <p className="none">{m.search.more}</p>}
        </Section>
      ))}
      <p className="none">{m.search.searched(searched)}</p>
    </div>
  );
}

function Result({ match }: { match: Match }) {
  const m = useMessages();
  const tag = useTag();
  const name = match.kind === "order" ? (match.title ?? match.id) : match.id;
  const detail =
    match.kind === "order"
      ? m.orders.statuses[match.detail as keyof typeof m.orders.statuses]
      : match.kind === "item"
        ? match.detail
        : shortType(match.title ?? undefined);
  return (
    <li>
      <Link href={match.link}>{name}</Link>
      {match.kind !== "partner" && detail && <span>{detail}</span>}
      {match.kind !== "partner" && match.partner && <span>{match.partner}</span>}
      {match.time && <span>{moment(match.time, tag)}</span>}
      {match.whole && <span>{m.search.whole}</span>}
    </li>
  );
}
