import { type OrderSchemas, opsOf, read, SERVICES, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ChoiceFilter, FilterBar, TextFilter, useFilters } from "../parts/filters";
import { ListBody, Page } from "../parts/list-page";
import { useList } from "../parts/lists";
import { count } from "../parts/number";
import type { Column } from "../parts/rows";
import { moment } from "../parts/time";
import { STATES, StateBadge } from "./state";

type Letter = OrderSchemas["DeadLetter"];

const PAGE = 100;

export default function DeadLettersPage() {
  const m = useMessages();
  const tag = useTag();
  const filters = useFilters(["service", "state", "fingerprint"] as const);
  const service: Service = SERVICES.find((each) => each === filters.values.service) ?? SERVICES[0];
  const state = STATES.find((each) => each === filters.values.state);
  const fingerprint = filters.values.fingerprint;
  const listed = useList<Letter>(["dead-letters", service, state, fingerprint], (cursor, signal) =>
    read(
      opsOf(service).GET("/v1/dead-letters", {
        params: {
          query: {
            limit: PAGE,
            ...(state && { state }),
            ...(fingerprint && { fingerprint }),
            ...(cursor && { cursor }),
          },
        },
        signal,
      }),
    ),
  );
  const columns: Column<Letter>[] = [
    { name: "id", header: m.deadLetters.id, width: "6rem", cell: (letter) => letter.id },
    {
      name: "state",
      header: m.deadLetters.state,
      width: "13rem",
      cell: (letter) => <StateBadge state={letter.state} />,
    },
    { name: "key", header: m.deadLetters.key, width: "minmax(8rem, 1fr)", cell: (letter) => letter.key ?? "—" },
    { name: "reason", header: m.deadLetters.reason, width: "minmax(10rem, 2fr)", cell: (letter) => letter.reason },
    { name: "topic", header: m.deadLetters.topic, width: "12rem", cell: (letter) => letter.topic },
    {
      name: "behind",
      header: m.deadLetters.behind,
      width: "8rem",
      numeric: true,
      cell: (letter) => count(letter.parked_behind, tag),
    },
    {
      name: "created",
      header: m.deadLetters.created,
      width: "12rem",
      cell: (letter) => moment(letter.created_at, tag),
    },
  ];
  return (
    <Page
      title={m.deadLetters.title}
      aside={
        <FilterBar filters={filters}>
          <ChoiceFilter
            label={m.deadLetters.service}
            value={service}
            choices={SERVICES.map((each) => [each, each] as const)}
            onChange={(value) => filters.set("service", value)}
          />
          <ChoiceFilter
            label={m.deadLetters.state}
            value={state ?? ""}
            choices={[["", m.deadLetters.all], ...STATES.map((each) => [each, m.deadLetters.states[each]] as const)]}
            onChange={(value) => filters.set("state", value)}
          />
          <TextFilter
            label={m.deadLetters.fingerprint}
            value={fingerprint}
            onChange={(value) => filters.set("fingerprint", value)}
          />
        </FilterBar>
      }
    >
      <ListBody
        listed={listed}
        label={m.deadLetters.list}
        columns={columns}
        keyOf={(letter) => String(letter.id)}
        hrefOf={(letter) => `/dead-letters/${service}/${letter.id}`}
        empty={{
          title: m.deadLetters.empty,
          detail: state || fingerprint ? m.deadLetters.emptyFiltered : m.deadLetters.emptyDetail,
        }}
      />
    </Page>
  );
}
