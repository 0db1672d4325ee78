import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { opsOf, read, SERVICES, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { Page } from "../parts/list-page";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Loading, Notice } from "../parts/states";
import { TextView } from "../parts/text-view";
import { momentInZone } from "../parts/time";
import { ActedOn } from "./acted-on";

export default function ActionPage({ params }: { params: { service: string; id: string } }) {
  const m = useMessages();
  const service = SERVICES.find((each) => each === params.service);
  if (service === undefined || !/^[0-9]{1,15}$/.test(params.id)) {
    return <Notice title={m.audit.bad} detail={m.audit.badDetail} />;
  }
  return <Action service={service} id={Number(params.id)} />;
}

/** One action of an operator, whole. It never changes. */
function Action({ service, id }: { service: Service; id: number }) {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["operator-action", service, id],
    queryFn: ({ signal }) =>
      read(opsOf(service).GET("/v1/operator-actions/{id}", { params: { path: { id } }, signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const entry = query.data;
  if (entry === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  return (
    <Page title={entry.action} aside={<Link href="/audit">{m.audit.allActions}</Link>}>
      <div className="sections">
        <Section>
          <p className="lead">{entry.why ?? m.audit.noReason}</p>
          <Facts>
            <Fact name={m.audit.at}>{momentInZone(entry.at, tag)}</Fact>
            <Fact name={m.audit.who}>
              <Link href={`/audit?who=${encodeURIComponent(entry.who)}`}>{entry.who}</Link>
            </Fact>
            <Fact name={m.audit.client}>{entry.client === "" ? m.states.unknown : entry.client}</Fact>
            <Fact name={m.audit.partner}>{entry.partner ?? m.states.none}</Fact>
            <Fact name={m.audit.service}>{service}</Fact>
            <Fact name={m.audit.target}>
              <ActedOn entry={{ ...entry, service }} />
            </Fact>
            <Fact name={m.audit.others}>
              <Link href={`/audit?target=${encodeURIComponent(entry.target)}`}>{m.audit.sameTarget}</Link>
            </Fact>
          </Facts>
        </Section>
        <State title={m.audit.before} state={entry.before} />
        <State title={m.audit.after} state={entry.after} />
      </div>
    </Page>
  );
}

function State({ title, state }: { title: string; state: Record<string, unknown> | null }) {
  const m = useMessages();
  return (
    <Section title={title}>
      {state === null ? (
        <p className="none">{m.audit.notStored}</p>
      ) : (
        <TextView text={JSON.stringify(state)} label={title} />
      )}
    </Section>
  );
}
