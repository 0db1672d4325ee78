/** The entries of one service that are read so far, newest first. */
export interface Source<Entry> {
  entries: readonly Entry[];
  /** Whether the service has older entries that are not read yet. */
  more: boolean;
}

interface Timed {
  at: string;
}

export interface Merged<Entry> {
  entries: Entry[];
  /** The sources whose next page must be read before older entries can be shown. */
  lacking: number[];
}

/**
 * Merge entries by time, the newest first, back to the time `since`.
 *
 * The list ends where a source has no more entries read, but may have more: its next one may be newer than all others.
 */
export function merged<Entry extends Timed>(sources: readonly Source<Entry>[], since?: number): Merged<Entry> {
  const places = sources.map(() => 0);
  const entries: Entry[] = [];
  for (;;) {
    const heads = sources.map((source, index) => source.entries[places[index] ?? 0]);
    const lacking = heads.flatMap((head, index) => (head === undefined && sources[index]?.more ? [index] : []));
    if (lacking.length > 0) return { entries, lacking };
    const newest = heads.reduce((best, head, index) => (isNewer(head, heads[best]) ? index : best), 0);
    const head = heads[newest];
    if (head === undefined || (since !== undefined && Date.parse(head.at) < since)) return { entries, lacking: [] };
    entries.push(head);
    places[newest] = (places[newest] ?? 0) + 1;
  }
}

function isNewer(one: Timed | undefined, other: Timed | undefined): boolean {
  return one !== undefined && (other === undefined || Date.parse(one.at) > Date.parse(other.at));
}
