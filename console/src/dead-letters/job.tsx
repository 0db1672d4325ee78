import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { type OrderSchemas, opsOf, read, SERVICES, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ActionDialog } from "../parts/action-dialog";
import { duration } from "../parts/duration";
import { ChoiceFilter, FilterBar, useFilters } from "../parts/filters";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import { ReasonField } from "../parts/reason-field";
import type { Column } from "../parts/rows";
import { Fact, Facts, Section } from "../parts/sections";
import { Failure, Freshness, Loading, Notice } from "../parts/states";
import { moment, momentInZone } from "../parts/time";
import { causeHref, letterHref } from "./links";
import { rate, remember, type Sample, timeLeft } from "./pace";
import "./job.css";

type Job = OrderSchemas["StoredJob"];
type Result = OrderSchemas["DeadLetterResult"];
type Outcome = Result["outcome"];

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const OUTCOMES = ["applied", "discarded", "still-poison", "skipped"] as const satisfies readonly Outcome[];
const LOOKS: Record<Outcome, string> = { applied: "good", discarded: "quiet", "still-poison": "bad", skipped: "warn" };
const STATUS_LOOKS: Record<string, string> = { done: "good", failed: "bad", stopped: "warn" };
const REFRESH_MS = 1_000;
const PAGE = 100;

/** A job that resolves many dead letters: how far it is, and what became of each. */
export default function JobPage({ params }: { params: { service: string; job: string } }) {
  const m = useMessages();
  const service = SERVICES.find((each) => each === params.service);
  if (service === undefined || !UUID.test(params.job)) {
    return <Notice title={m.deadLetters.badJob} detail={m.deadLetters.badJobDetail} />;
  }
  return <Shown key={`${service} ${params.job}`} service={service} id={params.job} />;
}

function Shown({ service, id }: { service: Service; id: string }) {
  const m = useMessages();
  const tag = useTag();
  const filters = useFilters(["outcome"] as const);
  const outcome = OUTCOMES.find((each) => each === filters.values.outcome);
  const query = useQuery({
    queryKey: ["job", service, id],
    queryFn: ({ signal }) => read(opsOf(service).GET("/v1/jobs/{id}", { params: { path: { id } }, signal })),
    refetchInterval: (state) => (state.state.data?.finished_at ? false : REFRESH_MS),
  });
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading />;
  }
  const job = query.data;
  const { action, reason, records } = job.arguments as {
    action?: ActionName;
    reason?: string;
    records?: { fingerprint?: string };
  };
  return (
    <Page
      title={action ? m.deadLetters.jobOf(m.deadLetters.actions[action]) : job.kind}
      aside={
        <>
          <span className={`badge ${STATUS_LOOKS[job.status] ?? "quiet"}`}>{m.deadLetters.jobs[job.status]}</span>
          <Link href={`/dead-letters?service=${service}`}>{m.deadLetters.allCauses}</Link>
          {records?.fingerprint && <Link href={causeHref(service, records.fingerprint)}>{m.deadLetters.same}</Link>}
          <Freshness query={query} />
          <FilterBar filters={filters}>
            <ChoiceFilter
              label={m.deadLetters.outcome}
              value={outcome ?? ""}
              choices={[
                ["", m.deadLetters.all],
                ...OUTCOMES.map((each) => [each, m.deadLetters.outcomes[each]] as const),
              ]}
              onChange={(value) => filters.set("outcome", value)}
            />
          </FilterBar>
          <Control service={service} job={job} action="stop" />
          <Control service={service} job={job} action="resume" />
        </>
      }
    >
      <div className="sections">
        <Section>
          <Progress job={job} at={query.dataUpdatedAt} />
          {job.error && job.status !== "done" && <p className="stale padded">{job.error}</p>}
          <Facts>
            <Fact name={m.deadLetters.service}>{service}</Fact>
            <Fact name={m.deadLetters.why}>{reason ?? m.states.none}</Fact>
            <Fact name={m.deadLetters.requestedBy}>{job.requested_by ?? m.states.none}</Fact>
            <Fact name={m.deadLetters.requestedAt}>{momentInZone(job.requested_at, tag)}</Fact>
            <Fact name={m.deadLetters.finishedAt}>{momentInZone(job.finished_at, tag)}</Fact>
            {job.result &&
              OUTCOMES.filter((each) => job.result?.[each] !== undefined).map((each) => (
                <Fact key={each} name={m.deadLetters.outcomes[each]}>
                  {count(Number(job.result?.[each]), tag)}
                </Fact>
              ))}
          </Facts>
        </Section>
        <Results service={service} job={job} outcome={outcome} />
      </div>
    </Page>
  );
}

type ActionName = "redrive" | "resend" | "discard";

/** Show how many events are done, how fast, and how long the rest takes. */
function Progress({ job, at }: { job: Job; at: number }) {
  const m = useMessages();
  const tag = useTag();
  const [samples, setSamples] = useState<Sample[]>([]);
  useEffect(() => setSamples((old) => remember(old, { at, done: job.done })), [at, job.done]);
  const perSecond = rate(samples);
  const runs = job.status === "running";
  return (
    <div className="progress">
      <progress aria-label={m.deadLetters.progressOf} max={job.total ?? 1} value={job.done} />
      <p role="status">
        <span>{m.deadLetters.progress(count(job.done, tag), count(job.total, tag))}</span>
        {runs && (
          <>
            <span>{m.deadLetters.speed(perSecond === undefined ? "—" : count(Math.round(perSecond), tag))}</span>
            <span>{m.deadLetters.timeLeft(duration(timeLeft(job.done, job.total, perSecond), tag))}</span>
          </>
        )}
        {job.status === "done" && job.started_at && job.finished_at && (
          <span>{m.deadLetters.took(duration(Date.parse(job.finished_at) - Date.parse(job.started_at), tag))}</span>
        )}
        {runs && job.stop_requested_at && <span className="stale">{m.deadLetters.stopping}</span>}
      </p>
    </div>
  );
}

/** Stop or resume the job. What it has done stays done. */
function Control({ service, job, action }: { service: Service; job: Job; action: "stop" | "resume" }) {
  const m = useMessages();
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const done = useMutation({
    mutationFn: () => {
      const init = { params: { path: { id: job.id } }, body: { reason } };
      const client = opsOf(service);
      return read(
        action === "stop" ? client.POST("/v1/jobs/{id}:stop", init) : client.POST("/v1/jobs/{id}:resume", init),
      );
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["job", service, job.id] }),
  });
  const stoppable = (job.status === "queued" || job.status === "running") && !job.stop_requested_at;
  const resumable = job.status === "stopped" || job.status === "failed";
  return (
    <ActionDialog
      name={m.deadLetters.controls[action]}
      explained={m.deadLetters.explainedControls[action]}
      offered={job.every_seconds === null && (action === "stop" ? stoppable : resumable)}
      error={done.error}
      ready={reason.trim() !== ""}
      run={() => done.mutate()}
      busy={done.isPending}
      done={done.isSuccess}
    >
      <ReasonField value={reason} onChange={setReason} />
      {done.isSuccess && <p role="status">{m.deadLetters.jobs[done.data.status]}</p>}
    </ActionDialog>
  );
}

function Results({ service, job, outcome }: { service: Service; job: Job; outcome: Outcome | undefined }) {
  const m = useMessages();
  const tag = useTag();
  const finished = job.finished_at !== null;
  const listed = useList<Result>(["results", service, job.id, outcome, finished], (cursor, signal) =>
    read(
      opsOf(service).GET("/v1/dead-letters/results/{job}", {
        params: {
          path: { job: job.id },
          query: { limit: PAGE, ...(outcome && { outcome }), ...(cursor && { cursor }) },
        },
        signal,
      }),
    ),
  );
  // Results are shown as they come, but a list of several pages is not read again and again.
  const { refetch } = listed.query;
  const few = (listed.query.data?.pages.length ?? 0) <= 1;
  useEffect(() => {
    if (job.done > 0 && few) void refetch();
  }, [job.done, few, refetch]);
  const columns: Column<Result>[] = [
    { name: "id", header: m.deadLetters.id, width: "7rem", cell: (each) => each.id },
    {
      name: "outcome",
      header: m.deadLetters.outcome,
      width: "10rem",
      cell: (each) => <span className={`badge ${LOOKS[each.outcome]}`}>{m.deadLetters.outcomes[each.outcome]}</span>,
    },
    { name: "reason", header: m.deadLetters.reason, width: "minmax(8rem, 1fr)", cell: (each) => each.reason ?? "—" },
    { name: "at", header: m.deadLetters.at, width: "12rem", cell: (each) => moment(each.at, tag) },
  ];
  const list = { rows: listed.rows?.length ?? 1, columns: columns.length, foot: true };
  return (
    <Section title={m.deadLetters.results} list={list}>
      {listed.rows?.length === 0 ? (
        <p className="none">{finished ? m.deadLetters.noResults : m.deadLetters.noResultsYet}</p>
      ) : (
        <ListBody
          listed={listed}
          label={m.deadLetters.results}
          columns={columns}
          keyOf={(each) => String(each.id)}
          hrefOf={(each) => letterHref(service, each.id)}
          empty={{ title: m.deadLetters.results, detail: m.deadLetters.noResults }}
        />
      )}
    </Section>
  );
}
