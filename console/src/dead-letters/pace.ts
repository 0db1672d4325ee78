/** How far a job was at a time. */
export interface Sample {
  at: number;
  done: number;
}

/** The rate is that of this time, because a job that was stopped and resumed has no useful average. */
const WINDOW_MS = 10_000;

/** Return the samples with the next one, without those that are too old for the rate. */
export function remember(samples: readonly Sample[], next: Sample): Sample[] {
  return [...samples.filter((each) => each.at > next.at - WINDOW_MS && each.at < next.at), next];
}

/** Return the events a second, or undefined while two samples are not known. */
export function rate(samples: readonly Sample[]): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || last.at === first.at) return undefined;
  return ((last.done - first.done) * 1_000) / (last.at - first.at);
}

/** Return the milliseconds that a job still needs, or undefined if that cannot be known. */
export function timeLeft(done: number, total: number | null, perSecond: number | undefined): number | undefined {
  if (total === null || !perSecond) return undefined;
  return (Math.max(0, total - done) * 1_000) / perSecond;
}
