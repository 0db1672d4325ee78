import type { ReactNode } from "react";
import { usePhone } from "./media";
import { rowHeight } from "./row-height";
import "./sections.css";

const MOST = 480;
const HEAD = 34;
const FOOT = 30;

interface Props {
  title?: string;
  /** The list in the section: the section is as high as the list needs, up to a limit; then the list scrolls. */
  list?: { rows: number; columns: number; foot?: boolean };
  children: ReactNode;
}

/** A part of a page. */
export function Section({ title, list, children }: Props) {
  const phone = usePhone();
  const needed = list && Math.max(1, list.rows) * rowHeight(phone, list.columns) + HEAD + (list.foot ? FOOT : 0);
  const height = needed && Math.min(MOST, needed);
  return (
    <section className="section">
      {title !== undefined && <h2>{title}</h2>}
      <div style={height === undefined ? undefined : { height }}>{children}</div>
    </section>
  );
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className="facts">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
