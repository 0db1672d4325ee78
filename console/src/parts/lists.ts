import { type InfiniteData, type UseInfiniteQueryResult, useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";

interface Page<Row> {
  items: Row[];
  next?: string | null | undefined;
}

export interface Listed<Row> {
  query: UseInfiniteQueryResult<InfiniteData<Page<Row>>>;
  rows: Row[] | undefined;
  more: () => void;
}

const REFRESH_MS = 10_000;

/**
 * Read a list page by page. The first pages are read again every ten seconds while the tab is shown.
 *
 * A list with more than three pages is not read again by itself, because each refresh reads all of its pages.
 */
export function useList<Row>(
  key: readonly unknown[],
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<Row>>,
  enabled = true,
): Listed<Row> {
  const query = useInfiniteQuery({
    queryKey: key,
    enabled,
    queryFn: ({ pageParam, signal }) => load(pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    refetchInterval: (state) => ((state.state.data?.pages.length ?? 0) <= 3 ? REFRESH_MS : false),
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.items), [query.data]);
  const more = () => {
    if (query.hasNextPage && !query.isFetching) void query.fetchNextPage();
  };
  return { query, rows, more };
}
