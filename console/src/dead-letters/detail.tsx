import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useSearchParams } from "wouter";
import { base, type OrderSchemas, opsOf, read, SERVICES, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { hexLines } from "../parts/hex-lines";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import type { Column } from "../parts/rows";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { LinesView, TextView } from "../parts/text-view";
import { moment, momentInZone } from "../parts/time";
import { ACTIONS, Act } from "./act";
import { causeHref, letterHref } from "./links";
import { StateBadge } from "./state";

type LetterOf = OrderSchemas["DeadLetter"];

const REFRESH_MS = 5_000;
const PAGE = 100;
const LARGE = 100_000;

export default function DeadLetterPage({ params }: { params: { service: string; id: string } }) {
  const m = useMessages();
  const service = SERVICES.find((each) => each === params.service);
  if (service === undefined || !/^[0-9]{1,18}$/.test(params.id)) {
    return <Notice title={m.deadLetters.bad} detail={m.deadLetters.badDetail} />;
  }
  return <Letter service={service} id={Number(params.id)} />;
}

function Letter({ service, id }: { service: Service; id: number }) {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["dead-letter", service, id],
    queryFn: ({ signal }) => read(opsOf(service).GET("/v1/dead-letters/{id}", { params: { path: { id } }, signal })),
    // Large data is read again less often, because each answer has all of it.
    refetchInterval: (state) => ((state.state.data?.size ?? 0) > LARGE ? 6 * REFRESH_MS : REFRESH_MS),
  });
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const letter = query.data;
  return (
    <Page
      title={m.deadLetters.one(String(letter.id))}
      aside={
        <>
          <StateBadge state={letter.state} />
          <Link href={`/dead-letters?service=${service}`}>{m.deadLetters.allCauses}</Link>
          <Link href={causeHref(service, letter.fingerprint)}>{m.deadLetters.same}</Link>
          <Freshness query={query} />
          {ACTIONS.map((action) => (
            <Act key={action} service={service} letter={letter} action={action} />
          ))}
        </>
      }
    >
      <div className="sections">
        <Section>
          <p className="lead">{letter.reason}</p>
          <Facts>
            <Fact name={m.deadLetters.created}>{momentInZone(letter.created_at, tag)}</Fact>
            <Fact name={m.deadLetters.group}>{letter.group}</Fact>
            <Fact name={m.deadLetters.key}>{letter.key ?? m.states.none}</Fact>
            <Fact name={m.deadLetters.place}>{`${letter.topic} / ${letter.partition} / ${letter.offset}`}</Fact>
            <Fact name={m.deadLetters.behind}>{count(letter.parked_behind, tag)}</Fact>
            <Fact name={m.deadLetters.size}>{m.live.bytes(count(letter.size, tag))}</Fact>
            <Fact name={m.deadLetters.fingerprint}>{letter.fingerprint}</Fact>
          </Facts>
        </Section>
        <Data service={service} letter={letter} />
        <Section title={m.deadLetters.headers}>
          <TextView text={JSON.stringify(letter.headers)} label={m.deadLetters.headers} />
        </Section>
        {letter.key !== null && letter.parked_behind > 0 && (
          <Behind service={service} letter={letter} of={letter.key} />
        )}
      </div>
    </Page>
  );
}

/** Show the data as text, or its bytes if the URL has `data=bytes`. */
function Data({ service, letter }: { service: Service; letter: LetterOf }) {
  const m = useMessages();
  const [search] = useSearchParams();
  const bytes = search.get("data") === "bytes";
  const address = letterHref(service, letter.id);
  const raw = `${base(service)}/v1/dead-letters/${letter.id}/value`;
  return (
    <Section title={m.deadLetters.value}>
      <div className="actions">
        <nav className="views" aria-label={m.deadLetters.value}>
          <Link href={address} replace aria-current={bytes ? undefined : "page"}>
            {m.deadLetters.asText}
          </Link>
          <Link href={`${address}?data=bytes`} replace aria-current={bytes ? "page" : undefined}>
            {m.deadLetters.asBytes}
          </Link>
        </nav>
        <a href={raw} download={`${service}-${letter.id}.bin`}>
          {m.deadLetters.download}
        </a>
      </div>
      {bytes ? (
        <Bytes service={service} id={letter.id} />
      ) : (
        <TextView text={letter.value} label={m.deadLetters.value} />
      )}
    </Section>
  );
}

function Bytes({ service, id }: { service: Service; id: number }) {
  const m = useMessages();
  const query = useQuery({
    queryKey: ["dead-letter-value", service, id],
    queryFn: async ({ signal }) => {
      const params = { path: { id } };
      return read(opsOf(service).GET("/v1/dead-letters/{id}/value", { params, signal, parseAs: "arrayBuffer" }));
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  const lines = useMemo(() => query.data && hexLines(new Uint8Array(query.data)), [query.data]);
  if (lines === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  return <LinesView lines={lines} label={m.deadLetters.value} />;
}

/** List the events of the same key that wait until this one is resolved. */
function Behind({ service, letter, of }: { service: Service; letter: LetterOf; of: string }) {
  const m = useMessages();
  const tag = useTag();
  const listed = useList<LetterOf>(["dead-letters", service, "key", of], async (cursor, signal) => {
    const query = { key: of, limit: PAGE, ...(cursor && { cursor }) };
    const page = await read(opsOf(service).GET("/v1/dead-letters", { params: { query }, signal }));
    const waits = (each: LetterOf) =>
      each.state === "parked" && each.group === letter.group && each.topic === letter.topic;
    return { items: page.items.filter(waits), next: page.next };
  });
  const columns: Column<LetterOf>[] = [
    { name: "id", header: m.deadLetters.id, width: "6rem", cell: (each) => each.id },
    {
      name: "type",
      header: m.deadLetters.type,
      width: "minmax(10rem, 1fr)",
      cell: (each) => each.headers["ce_type"] ?? "—",
    },
    {
      name: "place",
      header: m.deadLetters.place,
      width: "minmax(10rem, 1fr)",
      cell: (each) => `${each.topic} / ${each.partition} / ${each.offset}`,
    },
    { name: "created", header: m.deadLetters.created, width: "12rem", cell: (each) => moment(each.created_at, tag) },
  ];
  const list = { rows: listed.rows?.length ?? 1, columns: columns.length, foot: true };
  return (
    <Section title={m.deadLetters.behind} list={list}>
      <ListBody
        listed={listed}
        label={m.deadLetters.behind}
        columns={columns}
        keyOf={(each) => String(each.id)}
        hrefOf={(each) => letterHref(service, each.id)}
        empty={{ title: m.states.none }}
      />
    </Section>
  );
}
