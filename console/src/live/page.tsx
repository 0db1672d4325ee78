import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useSearchParams } from "wouter";
import { base } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ChoiceFilter, FilterBar, TextFilter, useFilters } from "../parts/filters";
import { count } from "../parts/number";
import { type Column, Rows } from "../parts/rows";
import { Failure, Loading, Notice } from "../parts/states";
import { clock, zone } from "../parts/time";
import { shortType } from "../parts/type-name";
import { asCurl, FILTERS, streamPath } from "./address";
import { AGES, type Age, ageFrom, beginning, USUAL } from "./beginning";
import type { LiveEvent } from "./event";
import { EventPanel } from "./panel";
import { LiveStream } from "./stream";
import "./live.css";

export function LivePage() {
  const m = useMessages();
  const tag = useTag();
  const filters = useFilters(FILTERS);
  const [search, setSearch] = useSearchParams();
  const chosen = JSON.stringify(filters.values);
  const from = useFilters(["from"] as const);
  const age = ageFrom(from.values.from);
  // Other filters are another stream, which begins anew.
  const stream = useMemo(() => {
    const values = JSON.parse(chosen) as typeof filters.values;
    return new LiveStream(
      (cursor, since) => base("analytics-service") + streamPath(values, cursor, since),
      beginning(age, Date.now()),
    );
  }, [chosen, age]);
  const { feed, status, left, error } = useSyncExternalStore(stream.subscribe, stream.view);
  const [paused, setPaused] = useState(false);
  const [away, setAway] = useState(false);
  const scroller = useRef<HTMLDivElement>(null);
  useEffect(() => (paused || away ? stream.hold() : stream.release()), [paused, away, stream]);
  usePauseKey(() => setPaused((old) => !old));

  const resume = () => {
    setPaused(false);
    setAway(false);
    scroller.current?.scrollTo({ top: 0 });
  };
  const rows = useMemo(() => feed.shown.toReversed(), [feed.shown]);
  const opened = search.get("event") ?? undefined;
  const open = (cursor: string | undefined) => {
    const next = new URLSearchParams(search);
    if (cursor === undefined) next.delete("event");
    else next.set("event", cursor);
    return next;
  };
  const columns: Column<LiveEvent>[] = [
    { name: "type", header: m.live.type, width: "minmax(10rem, 1.2fr)", cell: (event) => shortType(event.type) ?? "—" },
    { name: "time", header: `${m.live.time} (${zone(tag)})`, width: "9rem", cell: (event) => clock(event.time, tag) },
    {
      name: "key",
      header: m.live.key,
      width: "minmax(9rem, 1.6fr)",
      cell: (event) => <span className="mono">{event.key ?? "—"}</span>,
    },
    { name: "topic", header: m.live.topic, width: "minmax(8rem, 1fr)", cell: (event) => event.topic },
  ];
  return (
    <div className={opened === undefined ? "live" : "live with-panel"}>
      <div className="heading">
        <h1>{m.live.title}</h1>
        <p className={`status ${feed.held ? "waiting" : status}`} role="status">
          {feed.held && status === "open"
            ? m.live.paused(count(feed.waiting.length, tag))
            : status === "searching" && left !== undefined
              ? m.live.searching(count(left, tag))
              : m.live.status[status]}
        </p>
        <div className="tools">
          {feed.held ? (
            <button type="button" className="button primary" onClick={resume}>
              {m.live.resume}
            </button>
          ) : (
            <button type="button" className="button" aria-keyshortcuts="p" onClick={() => setPaused(true)}>
              {m.live.pause}
            </button>
          )}
          <CopyCurl path={streamPath(filters.values, undefined, undefined)} />
        </div>
        <FilterBar filters={filters}>
          <ChoiceFilter
            label={m.live.from}
            value={age}
            choices={(Object.keys(AGES) as Age[]).map((each) => [each, m.live.ages[each]] as const)}
            onChange={(value) => from.set("from", value === USUAL ? "" : value)}
          />
          {FILTERS.map((name) => (
            <TextFilter
              key={name}
              label={m.live.filters[name]}
              value={filters.values[name]}
              onChange={(value) => filters.set(name, value)}
            />
          ))}
        </FilterBar>
      </div>
      {error !== undefined ? (
        <Failure error={error} again={error.status === 410 ? stream.fromNow : stream.again} />
      ) : status === "behind" ? (
        <Notice title={m.live.behind} detail={m.live.behindDetail}>
          <button type="button" className="button" onClick={stream.fromNow}>
            {m.live.fromNow}
          </button>
        </Notice>
      ) : rows.length === 0 && status !== "open" && status !== "searching" ? (
        <Loading />
      ) : rows.length === 0 ? (
        <Notice title={filters.any ? m.live.emptyFiltered : m.live.empty} detail={m.live.emptyDetail} />
      ) : (
        <Rows
          label={m.live.list}
          rows={rows}
          columns={columns}
          keyOf={(event) => event.cursor}
          hrefOf={(event) => `/live?${open(event.cursor)}`}
          selected={opened}
          scroller={scroller}
          onTop={(top) => setAway(!top)}
        />
      )}
      {opened !== undefined && <EventPanel cursor={opened} close={() => setSearch(open(undefined))} />}
    </div>
  );
}

function CopyCurl({ path }: { path: string }) {
  const m = useMessages();
  const [copied, setCopied] = useState<string>();
  const command = asCurl(location.origin, path);
  const copy = () => {
    // Without the right to write to the clipboard the command is there to be selected.
    navigator.clipboard?.writeText(command).catch(() => undefined);
    setCopied(command);
  };
  return (
    <>
      <button type="button" className="button" onClick={copy}>
        {m.live.curl}
      </button>
      {copied === command && <output className="command mono">{command}</output>}
    </>
  );
}

/** Call `toggle` when `p` is typed outside of a field. */
function usePauseKey(toggle: () => void): void {
  const latest = useRef(toggle);
  latest.current = toggle;
  useEffect(() => {
    const typed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const elsewhere = target.closest("input, select, textarea") !== null;
      if (event.key === "p" && !elsewhere && !event.ctrlKey && !event.metaKey && !event.altKey) latest.current();
    };
    addEventListener("keydown", typed);
    return () => removeEventListener("keydown", typed);
  }, []);
}
