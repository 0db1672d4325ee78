import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";
import { en, type Messages } from "./en";
import { zh } from "./zh";

export type Language = "en" | "zh";

export const LANGUAGES: Record<Language, { name: string; tag: string; messages: Messages }> = {
  en: { name: "English", tag: "en-GB", messages: en },
  zh: { name: "中文", tag: "zh-CN", messages: zh },
};

const KEY = "crossdock.language";

interface Chosen {
  language: Language;
  choose: (language: Language) => void;
}

const Context = createContext<Chosen>({ language: "en", choose: () => undefined });

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState<Language>(() =>
    languageFrom(localStorage.getItem(KEY), navigator.languages ?? [navigator.language]),
  );
  useEffect(() => {
    document.documentElement.lang = LANGUAGES[language].tag;
  }, [language]);
  const chosen = useMemo<Chosen>(
    () => ({
      language,
      choose: (next) => {
        localStorage.setItem(KEY, next);
        setLanguage(next);
      },
    }),
    [language],
  );
  return <Context.Provider value={chosen}>{children}</Context.Provider>;
}

/** Return the stored language, else the first one of the browser that we have, else English. */
export function languageFrom(stored: string | null, wanted: readonly string[]): Language {
  const known = (tag: string): tag is Language => tag in LANGUAGES;
  if (stored !== null && known(stored)) return stored;
  return wanted.map((tag) => tag.split("-")[0] ?? "").find(known) ?? "en";
}

export function useLanguage(): Chosen {
  return useContext(Context);
}

export function useMessages(): Messages {
  return LANGUAGES[useContext(Context).language].messages;
}

export function useTag(): string {
  return LANGUAGES[useContext(Context).language].tag;
}
