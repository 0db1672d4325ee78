/** A refusal or failure that a service answered (RFC 9457), or that the network caused (status 0). */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string | undefined,
    readonly type: string | undefined,
  ) {
    super(detail ?? title);
  }
}

/** Return the problem of an answer. An answer without a readable problem, as a proxy sends, gets its status as title. */
export async function problemOf(answer: Response): Promise<Problem> {
  const body: unknown = await answer.json().catch(() => undefined);
  return problemFrom(answer.status, body);
}

export function problemFrom(status: number, body: unknown): Problem {
  const fields = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  return new Problem(status, text(fields["title"]) ?? `HTTP ${status}`, text(fields["detail"]), text(fields["type"]));
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
