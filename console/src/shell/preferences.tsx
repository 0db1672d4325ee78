import { Menu } from "@ark-ui/react/menu";
import { Portal } from "@ark-ui/react/portal";
import { useState } from "react";
import { signInUrl, signOut, useSession } from "../api/session";
import { LANGUAGES, type Language, useLanguage, useMessages } from "../messages/language";
import { storedTheme, storeTheme, THEMES, type Theme } from "./theme";

/** The menu of the person: language, colours, and the way out. */
export function Preferences() {
  const m = useMessages();
  const session = useSession();
  const { language, choose } = useLanguage();
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const select = (value: string) => {
    if (value === "sign-out") void signOut();
  };
  const colour = (value: string) => {
    storeTheme(value as Theme);
    setTheme(value as Theme);
  };
  return (
    <>
      {session === null && (
        <a className="button primary" href={signInUrl()}>
          {m.states.signIn}
        </a>
      )}
      <Menu.Root
        lazyMount
        unmountOnExit
        onSelect={({ value }) => select(value)}
        positioning={{ placement: "bottom-end" }}
      >
        <Menu.Trigger className="button">{session?.person.name ?? m.shell.settings} ▾</Menu.Trigger>
        <Portal>
          <Menu.Positioner>
            <Menu.Content className="menu">
              <Menu.RadioItemGroup value={language} onValueChange={({ value }) => choose(value as Language)}>
                <Menu.ItemGroupLabel>{m.shell.language}</Menu.ItemGroupLabel>
                {Object.entries(LANGUAGES).map(([key, { name }]) => (
                  <Choice key={key} value={key} name={name} />
                ))}
              </Menu.RadioItemGroup>
              <Menu.Separator />
              <Menu.RadioItemGroup value={theme} onValueChange={({ value }) => colour(value)}>
                <Menu.ItemGroupLabel>{m.shell.theme}</Menu.ItemGroupLabel>
                {THEMES.map((each) => (
                  <Choice key={each} value={each} name={m.shell.themes[each]} />
                ))}
              </Menu.RadioItemGroup>
              {session && (
                <>
                  <Menu.Separator />
                  <Menu.Item value="sign-out">{m.shell.signOut}</Menu.Item>
                </>
              )}
            </Menu.Content>
          </Menu.Positioner>
        </Portal>
      </Menu.Root>
    </>
  );
}

function Choice({ value, name }: { value: string; name: string }) {
  return (
    <Menu.RadioItem value={value}>
      <Menu.ItemIndicator>✓</Menu.ItemIndicator>
      <Menu.ItemText>{name}</Menu.ItemText>
    </Menu.RadioItem>
  );
}
