/** All texts in English. `Messages` has their shape, so another language that lacks one fails the build. */
export const en = {
  shell: {
    skip: "Skip to the content",
    pages: "Pages",
    live: "Live",
    theme: "Colours",
    themes: { system: "As the system", light: "Light", dark: "Dark" },
    language: "Language",
    noPage: "This page does not exist",
    noPageDetail: "Choose a page from the list.",
  },
  states: {
    loading: "Loading…",
    failed: "This could not be loaded",
    again: "Try again",
    unreachable: "The server does not answer.",
    signIn: "Sign in",
    signedOut: "You are not signed in",
    signedOutDetail: "Sign in to see this page.",
  },
  live: {
    title: "Live events",
    status: {
      connecting: "Connecting…",
      open: "Live",
      retrying: "Connection lost. Connecting again…",
      waiting: "Paused",
      hidden: "Waiting until this tab is shown",
      failed: "Stopped",
    },
    empty: "No event has come yet",
    emptyDetail: "Events appear here as they reach Kafka.",
    list: "Events, newest first",
    time: "Time",
    topic: "Topic",
    type: "Type",
    key: "Key",
  },
};

export type Messages = typeof en;
