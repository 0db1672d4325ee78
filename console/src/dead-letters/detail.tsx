import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { opsOf, read, SERVICES, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { Page } from "../parts/list-page";
import { count } from "../parts/number";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { TextView } from "../parts/text-view";
import { momentInZone } from "../parts/time";
import { ACTIONS, Act } from "./act";
import { causeHref } from "./links";
import { StateBadge } from "./state";

const REFRESH_MS = 5_000;

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
    refetchInterval: REFRESH_MS,
  });
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const letter = query.data;
  return (
    <Page
      title={`${m.deadLetters.title} ${letter.id}`}
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
            <Fact name={m.deadLetters.fingerprint}>{letter.fingerprint}</Fact>
          </Facts>
        </Section>
        <Section title={m.deadLetters.value}>
          <TextView text={letter.value} label={m.deadLetters.value} />
        </Section>
        <Section title={m.deadLetters.headers}>
          <TextView text={JSON.stringify(letter.headers)} label={m.deadLetters.headers} />
        </Section>
      </div>
    </Page>
  );
}
