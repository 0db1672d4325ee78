import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type OrderSchemas, opsOf, read, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { count } from "../parts/number";
import { jobHref } from "./links";

type Job = OrderSchemas["StoredJob"];

const KIND = "resolve-dead-letters";
const REFRESH_MS = 5_000;
const MOST = 20;

async function unfinished(service: Service, signal: AbortSignal): Promise<Job[]> {
  const pages = await Promise.all(
    (["running", "queued"] as const).map((status) =>
      read(opsOf(service).GET("/v1/jobs", { params: { query: { kind: KIND, status, limit: MOST } }, signal })),
    ),
  );
  return pages.flatMap((page) => page.items);
}

/** Link to the jobs that resolve dead letters of a service now, so that a person can follow or stop them. */
export function JobsNow({ service, fingerprint }: { service: Service; fingerprint?: string }) {
  const m = useMessages();
  const tag = useTag();
  const query = useQuery({
    queryKey: ["jobs-now", service],
    queryFn: ({ signal }) => unfinished(service, signal),
    refetchInterval: REFRESH_MS,
  });
  const shown = (query.data ?? []).filter((job) => {
    const records = job.arguments["records"] as { fingerprint?: string } | undefined;
    return fingerprint === undefined || records?.fingerprint === fingerprint;
  });
  return shown.map((job) => (
    <Link key={job.id} href={jobHref(service, job.id)}>
      {`${service}: ${m.deadLetters.jobs[job.status]}, ${m.deadLetters.progress(count(job.done, tag), count(job.total, tag))}`}
    </Link>
  ));
}
