import { type FormEvent, useEffect, useRef } from "react";
import { useLocation, useSearchParams } from "wouter";
import { useMessages } from "../messages/language";
import "./search.css";

const SHORTEST = 2;
const LONGEST = 100;

/** The field in each page's bar. The key `/` leads to it, and Enter searches. */
export function SearchBox() {
  const m = useMessages();
  const [path, navigate] = useLocation();
  const [search] = useSearchParams();
  const field = useRef<HTMLInputElement>(null);
  const searched = path === "/search" ? (search.get("q") ?? "") : "";
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [role=dialog]");
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
      event.preventDefault();
      field.current?.select();
      field.current?.focus();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const text = field.current?.value.trim() ?? "";
    if (text.length >= SHORTEST) navigate(`/search?go=1&q=${encodeURIComponent(text)}`);
  };
  return (
    <search className="search-box">
      <form onSubmit={submit}>
        <input
          ref={field}
          key={searched}
          type="search"
          aria-label={m.search.field}
          aria-keyshortcuts="/"
          placeholder={m.search.placeholder}
          defaultValue={searched}
          minLength={SHORTEST}
          maxLength={LONGEST}
        />
      </form>
    </search>
  );
}
