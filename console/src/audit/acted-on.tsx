import { Link } from "wouter";
import { actedOn } from "./links";

type Props = { entry: Parameters<typeof actedOn>[0] };

/** Show the path of what was acted on, as a link if something shows it. */
export function ActedOn({ entry }: Props) {
  const link = actedOn(entry);
  if (link === undefined) return entry.target;
  return link.plain ? <a href={link.href}>{entry.target}</a> : <Link href={link.href}>{entry.target}</Link>;
}
