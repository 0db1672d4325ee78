import type { ReactNode } from "react";
import { usePhone } from "./media";
import "./sections.css";

const MOST = 480;
const HEAD = 30;
const ROW = 36;
const CARD = 168;

/** A part of a page. With `rows` it is as high as that many rows need, up to a limit; then the list scrolls. */
export function Section({ title, rows, children }: { title?: string; rows?: number; children: ReactNode }) {
  const phone = usePhone();
  const height = rows === undefined ? undefined : Math.min(MOST, (phone ? CARD : ROW) * Math.max(1, rows) + HEAD + 4);
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
