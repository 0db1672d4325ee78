import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useMessages } from "../messages/language";
import { Preferences } from "./preferences";
import "./shell.css";

const PAGES = [
  { path: "/live", name: "live" },
  { path: "/orders", name: "orders" },
  { path: "/stock", name: "stock" },
  { path: "/dead-letters", name: "deadLetters" },
] as const;

export function Shell({ children }: { children: ReactNode }) {
  const m = useMessages();
  const [path] = useLocation();
  return (
    <div className="shell">
      <a className="skip" href="#content">
        {m.shell.skip}
      </a>
      <header className="bar">
        <Link href="/" className="brand">
          Crossdock
        </Link>
        <nav aria-label={m.shell.pages}>
          {PAGES.map((page) => (
            <Link key={page.path} href={page.path} aria-current={path.startsWith(page.path) ? "page" : undefined}>
              {m.shell[page.name]}
            </Link>
          ))}
        </nav>
        <div className="choices">
          <Preferences />
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}
