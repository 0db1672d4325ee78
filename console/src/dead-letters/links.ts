import type { Service } from "../api/client";

/** Return the address of a dead letter. */
export function letterHref(service: Service, id: number): string {
  return `/dead-letters/${service}/${id}`;
}

/** Return the address of the dead letters with one cause. */
export function causeHref(service: Service, fingerprint: string): string {
  return `/dead-letters?service=${service}&fingerprint=${encodeURIComponent(fingerprint)}`;
}

/** Return the address of a job that resolves many dead letters. */
export function jobHref(service: Service, job: string): string {
  return `/dead-letters/${service}/jobs/${job}`;
}
