import { useSyncExternalStore } from "react";

const PHONE = matchMedia("(max-width: 640px)");

function subscribe(listener: () => void): () => void {
  PHONE.addEventListener("change", listener);
  return () => PHONE.removeEventListener("change", listener);
}

/** Return whether the window has the width of a phone: lists are cards there. */
export function usePhone(): boolean {
  return useSyncExternalStore(subscribe, () => PHONE.matches);
}
