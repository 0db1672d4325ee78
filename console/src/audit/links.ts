import { base, type Service } from "../api/client";
import { jobHref, letterHref } from "../dead-letters/links";

interface Acted {
  service: Service;
  action: string;
  target: string;
}

/** A link to what was acted on. `plain` links leave the console: they show the answer of the service. */
export interface Link {
  href: string;
  plain: boolean;
}

/** These have no page. Their service shows them by the path in the entry. */
const SHOWN = /^\/v1\/(jobs|stopped|receipts|adjustments|transfers)\/[^/]+$/;
/** The page of the consumers shows them, or would show them if they were still there. */
const OF_CONSUMERS = /^\/v1\/(projections|retired-groups)\//;

/** Return the link to what an entry is about, or undefined if nothing shows it. */
export function actedOn({ service, action, target }: Acted): Link | undefined {
  const [, kind, id] = /^\/v1\/([a-z-]+)\/([^/]+)$/.exec(target) ?? [];
  if (id !== undefined) {
    if (kind === "orders") return { href: `/orders/${id}`, plain: false };
    if (kind === "dead-letters") return { href: letterHref(service, Number(id)), plain: false };
    if (kind === "jobs" && action === "dead-letters:resolve") return { href: jobHref(service, id), plain: false };
  }
  if (OF_CONSUMERS.test(target)) return { href: `/consumers?service=${service}`, plain: false };
  return SHOWN.test(target) ? { href: base(service) + target, plain: true } : undefined;
}
