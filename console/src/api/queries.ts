import { QueryClient } from "@tanstack/react-query";
import { Problem } from "./problem";

const TRIES = 3;

/** Retry a failed read, except for an answer that another try cannot change. */
function retry(failures: number, error: Error): boolean {
  const hopeless = error instanceof Problem && error.status < 500 && error.status !== 429;
  return !hopeless && failures < TRIES;
}

export const queries = new QueryClient({
  defaultOptions: { queries: { retry, staleTime: 5_000, refetchOnWindowFocus: true } },
});
