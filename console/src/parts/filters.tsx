import { type ReactNode, useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { useMessages } from "../messages/language";
import { usePhone } from "./media";

const TYPING_MS = 300;

export interface Filters<Name extends string> {
  values: Record<Name, string>;
  /** Whether any filter is set. */
  any: boolean;
  set: (name: Name, value: string) => void;
  clear: () => void;
}

/** Keep the filters `names` in the query of the URL, so that a filtered page can be sent to a colleague. */
export function useFilters<Name extends string>(names: readonly Name[]): Filters<Name> {
  const [search, setSearch] = useSearchParams();
  const values = Object.fromEntries(names.map((name) => [name, search.get(name) ?? ""])) as Record<Name, string>;
  const change = (entries: readonly (readonly [Name, string])[]) => {
    setSearch(
      (old) => {
        const next = new URLSearchParams(old);
        for (const [name, value] of entries) {
          if (value === "") next.delete(name);
          else next.set(name, value);
        }
        return next;
      },
      { replace: true },
    );
  };
  return {
    values,
    any: names.some((name) => values[name] !== ""),
    set: (name, value) => change([[name, value]]),
    clear: () => change(names.map((name) => [name, ""] as const)),
  };
}

/** The fields of the filters. On a phone they are folded while no filter is set. */
export function FilterBar({
  filters,
  children,
}: {
  filters: Pick<Filters<never>, "any" | "clear">;
  children: ReactNode;
}) {
  const m = useMessages();
  const phone = usePhone();
  const fields = (
    <div className="filters">
      {children}
      {filters.any && (
        <button type="button" className="button" onClick={filters.clear}>
          {m.actions.clear}
        </button>
      )}
    </div>
  );
  return (
    <search className="filter-bar">
      {phone ? (
        <details open={filters.any}>
          <summary>{m.actions.filters}</summary>
          {fields}
        </details>
      ) : (
        fields
      )}
    </search>
  );
}

interface TextProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  suggestions?: readonly string[];
}

/** A field for a filter. It takes effect when typing pauses. */
export function TextFilter({ label, value, onChange, suggestions }: TextProps) {
  const [typed, setTyped] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // A change from elsewhere, such as the back button, replaces the typed text.
  useEffect(() => setTyped(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const change = (next: string, delay: number) => {
    setTyped(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next.trim()), delay);
  };
  const list = suggestions === undefined ? undefined : `suggestions-${label}`;
  return (
    <label>
      {label}
      <input
        type="search"
        value={typed}
        maxLength={255}
        list={list}
        spellCheck={false}
        onChange={(event) => change(event.target.value, TYPING_MS)}
        onKeyDown={(event) => event.key === "Enter" && change(typed, 0)}
      />
      {list !== undefined && (
        <datalist id={list}>
          {suggestions?.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
    </label>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  choices: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
}

export function ChoiceFilter({ label, value, choices, onChange }: ChoiceProps) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {choices.map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
