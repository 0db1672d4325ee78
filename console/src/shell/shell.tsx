import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useMessages } from "../messages/language";
import { SearchBox } from "../search/box";
import { Preferences } from "./preferences";
import "./shell.css";

const PAGES = [
  { path: "/", name: "home" },
  { path: "/live", name: "live" },
  { path: "/orders", name: "orders" },
  { path: "/stock", name: "stock" },
  { path: "/dead-letters", name: "deadLetters" },
  { path: "/consumers", name: "consumers" },
  { path: "/topics", name: "topics" },
  { path: "/audit", name: "audit" },
] as const;

/** Return whether a path belongs to a page. Every path begins like that of the home page, which has no other. */
function isIn(path: string, page: string): boolean {
  return page === "/" ? path === page : path.startsWith(page);
}

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
            <Link key={page.path} href={page.path} aria-current={isIn(path, page.path) ? "page" : undefined}>
              {m.shell[page.name]}
            </Link>
          ))}
        </nav>
        <SearchBox />
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
