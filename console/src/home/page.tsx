import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type AnalyticsSchemas, analyticsService, read } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { Page } from "../parts/list-page";
import { count, money } from "../parts/number";
import { Section } from "../parts/sections";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { moment } from "../parts/time";
import { Act } from "./act";
import { byCause, byService } from "./groups";
import "./home.css";

type Row = AnalyticsSchemas["AttentionRow"];
type Checked = AnalyticsSchemas["Checked"];

const REFRESH_MS = 5_000;
/** Rows of a cause that are shown. The page that explains a cause has them all. */
const MOST = 20;

export default function HomePage() {
  const m = useMessages();
  const query = useQuery({
    queryKey: ["attention"],
    queryFn: ({ signal }) => read(analyticsService.GET("/v1/attention", { signal })),
    refetchInterval: REFRESH_MS,
  });
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const { rows, checked } = query.data;
  const unknown = checked.some((each) => !each.answered);
  return (
    <Page title={m.home.title} aside={<Freshness query={query} />}>
      <div className="sections">
        {rows.length === 0 && (
          <Notice
            title={unknown ? m.home.nothingKnown : m.home.nothing}
            detail={unknown ? m.home.nothingKnownDetail : m.home.nothingDetail}
          />
        )}
        {byCause(rows).map(([cause, found]) => (
          <Section key={cause} title={`${m.home.causes[cause]} (${found.length})`}>
            <ul className="attention" aria-label={m.home.causes[cause]}>
              {found.slice(0, MOST).map((row) => (
                <Item key={`${row.service} ${row.subject} ${row.action?.url}`} row={row} />
              ))}
            </ul>
            {found.length > MOST && <p className="none">{m.home.more(found.length - MOST)}</p>}
          </Section>
        ))}
        <Looked checked={checked} />
      </div>
    </Page>
  );
}

function Item({ row }: { row: Row }) {
  const m = useMessages();
  const tag = useTag();
  const amounts = Object.entries(row.value?.amounts ?? {}).map(([currency, amount]) => money(amount, currency));
  const more = row.count === null && (row.cause === "backordered" || row.cause === "dead_letters");
  const told = m.home.sentences[row.cause]({
    service: row.service ?? "",
    subject: row.subject ?? "",
    many: count(row.count, tag),
    one: row.count === 1,
    units: count(row.value?.units, tag),
    events: count(row.value?.events, tag),
    reason: row.detail ?? "",
    worker: row.subject === "worker",
    decided: row.action?.url.endsWith(":end") ?? false,
  });
  return (
    <li data-cause={row.cause}>
      <div>
        <Link href={row.explain}>{more ? m.home.moreThere(row.service ?? "") : told}</Link>
        <p className="more">
          {!more && <span>{row.since ? m.home.since(moment(row.since, tag)) : m.home.sinceUnknown}</span>}
          {amounts.length > 0 && <span>{m.home.worth(amounts.join(" + "))}</span>}
        </p>
      </div>
      {row.action && <Act remedy={row.action} />}
    </li>
  );
}

/** List what was looked at, so that an empty page and an unknown state never look alike. */
function Looked({ checked }: { checked: readonly Checked[] }) {
  const m = useMessages();
  return (
    <Section title={m.home.checked}>
      <ul className="checked">
        {byService(checked).map(([name, parts]) => (
          <li key={name}>
            <strong>{m.home.own[name as keyof typeof m.home.own] ?? name}</strong>{" "}
            {parts.map(({ part, answered }) => (
              <span key={part} className={answered ? undefined : "stale"}>
                {part && `${m.home.parts[part as keyof typeof m.home.parts] ?? part}: `}
                {answered ? m.home.answered : m.home.silent}
              </span>
            ))}
          </li>
        ))}
      </ul>
    </Section>
  );
}
