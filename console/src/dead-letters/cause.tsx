import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { opsOf, read, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { count } from "../parts/number";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading } from "../parts/states";
import { TextView } from "../parts/text-view";
import { momentInZone } from "../parts/time";
import { ActOnMany, MANY } from "./act-on-many";
import { JobsNow } from "./jobs-now";
import { letterHref } from "./links";
import { atLeast } from "./sort";

const REFRESH_MS = 5_000;

/** Show why events failed, with an example, and offer to act on all of them. */
export function CauseSection({ service, fingerprint }: { service: Service; fingerprint: string }) {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["causes", service, fingerprint],
    queryFn: ({ signal }) =>
      read(opsOf(service).GET("/v1/dead-letters/causes", { params: { query: { fingerprint } }, signal })),
    refetchInterval: REFRESH_MS,
  });
  if (query.data === undefined) {
    return (
      <Section>
        {query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />}
      </Section>
    );
  }
  const cause = query.data.items[0];
  return (
    <Section>
      <p className="lead">{cause === undefined ? m.deadLetters.noneLeft : cause.reason}</p>
      {cause && (
        <>
          <Facts>
            <Fact name={m.deadLetters.events}>{atLeast(cause.records, count(cause.records, tag))}</Fact>
            <Fact name={m.deadLetters.keys}>{atLeast(cause.keys, count(cause.keys, tag))}</Fact>
            <Fact name={m.deadLetters.first}>{momentInZone(cause.first_at, tag)}</Fact>
            <Fact name={m.deadLetters.last}>{momentInZone(cause.last_at, tag)}</Fact>
            <Fact name={m.deadLetters.group}>{cause.example.group}</Fact>
            <Fact name={m.deadLetters.topic}>{cause.example.topic}</Fact>
            <Fact name={m.deadLetters.type}>{cause.example.type ?? m.states.none}</Fact>
            <Fact name={m.deadLetters.example}>
              <Link href={letterHref(service, cause.example.id)}>{cause.example.id}</Link>
            </Fact>
          </Facts>
          <TextView text={cause.example.value} label={m.deadLetters.example} />
        </>
      )}
      <div className="actions">
        {MANY.map((action) => (
          <ActOnMany
            key={action}
            service={service}
            fingerprint={fingerprint}
            action={action}
            offered={cause !== undefined}
          />
        ))}
        <JobsNow service={service} fingerprint={fingerprint} />
        <Freshness query={query} />
      </div>
    </Section>
  );
}
