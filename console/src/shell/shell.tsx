import { type ReactNode, useState } from "react";
import { Link, useLocation } from "wouter";
import { LANGUAGES, type Language, useLanguage, useMessages } from "../messages/language";
import { storedTheme, storeTheme, THEMES, type Theme } from "./theme";
import "./shell.css";

const PAGES = [{ path: "/live", name: "live" }] as const;

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
          <LanguageChoice />
          <ThemeChoice />
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function LanguageChoice() {
  const m = useMessages();
  const { language, choose } = useLanguage();
  return (
    <label>
      <span className="unseen">{m.shell.language}</span>
      <select value={language} onChange={(event) => choose(event.target.value as Language)}>
        {Object.entries(LANGUAGES).map(([key, { name }]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function ThemeChoice() {
  const m = useMessages();
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const choose = (next: Theme) => {
    storeTheme(next);
    setTheme(next);
  };
  return (
    <label>
      <span className="unseen">{m.shell.theme}</span>
      <select value={theme} onChange={(event) => choose(event.target.value as Theme)}>
        {THEMES.map((each) => (
          <option key={each} value={each}>
            {m.shell.themes[each]}
          </option>
        ))}
      </select>
    </label>
  );
}
