import { useQuery } from "@tanstack/react-query";
import { Problem, problemOf } from "./problem";

/** The person who is signed in, and what the person may do. */
export interface Session {
  person: { subject: string; name: string };
  scopes: readonly string[];
  started_at: string;
  ends_at: string;
}

/** Calls that act must have this header. A form of a foreign page cannot set it. */
export const ACTING = { "Crossdock-Console": "1" } as const;

const REFRESH_MS = 60_000;

async function ask(path: string, init: RequestInit): Promise<unknown> {
  const answer = await fetch(path, { cache: "no-store", ...init }).catch(() => {
    throw new Problem(0, "", undefined, undefined);
  });
  if (!answer.ok) throw await problemOf(answer);
  return answer.json();
}

/** Return who is signed in: null if nobody is, undefined while that is not known. */
export function useSession(): Session | null | undefined {
  const query = useQuery({
    queryKey: ["session"],
    queryFn: async ({ signal }) => (await ask("/session", { signal })) as Session,
    refetchInterval: REFRESH_MS,
  });
  if (query.error instanceof Problem && query.error.status === 401) return null;
  return query.data;
}

/** Return whether the person may act. The services check it again for each call. */
export function mayAct(session: Session | null | undefined): boolean {
  return session?.scopes.includes("ops:act") ?? false;
}

/** Sign the person out and leave the console. */
export async function signOut(): Promise<void> {
  const answer = (await ask("/session/sign-out", { method: "POST", headers: ACTING })) as { next: string };
  location.assign(answer.next);
}

/** Return the address that signs a person in and comes back to the page that is shown now. */
export function signInUrl(): string {
  return `/session/sign-in?return_to=${encodeURIComponent(location.pathname + location.search)}`;
}
