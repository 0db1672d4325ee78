import { type OrderSchemas, opsOf, read, type Service } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { ListBody } from "../parts/list-page";
import { type Listed, useList } from "../parts/lists";
import { count } from "../parts/number";
import type { Column } from "../parts/rows";
import { Section } from "../parts/sections";
import { moment } from "../parts/time";
import { letterHref } from "./links";
import { StateBadge } from "./state";

type Letter = OrderSchemas["DeadLetter"];
type State = Letter["state"];

const PAGE = 100;
const COLUMNS = 7;

interface Props {
  service: Service;
  state: State | undefined;
  fingerprint: string;
}

function useRecords({ service, state, fingerprint }: Props): Listed<Letter> {
  return useList<Letter>(["dead-letters", service, state, fingerprint], (cursor, signal) =>
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
}

/** The dead letters of a service, the oldest first. */
export function Records(props: Props) {
  return <List {...props} listed={useRecords(props)} />;
}

/** The dead letters of one cause, as a part of a page. */
export function RecordSection(props: Props) {
  const m = useMessages();
  const listed = useRecords(props);
  return (
    <Section title={m.deadLetters.list} list={{ rows: listed.rows?.length ?? 1, columns: COLUMNS, foot: true }}>
      {listed.rows?.length === 0 ? (
        <p className="none">{m.deadLetters.emptyFiltered}</p>
      ) : (
        <List {...props} listed={listed} />
      )}
    </Section>
  );
}

function List({ service, state, fingerprint, listed }: Props & { listed: Listed<Letter> }) {
  const m = useMessages();
  const tag = useTag();
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
    <ListBody
      listed={listed}
      label={m.deadLetters.list}
      columns={columns}
      keyOf={(letter) => String(letter.id)}
      hrefOf={(letter) => letterHref(service, letter.id)}
      empty={{
        title: m.deadLetters.empty,
        detail: state || fingerprint ? m.deadLetters.emptyFiltered : m.deadLetters.emptyDetail,
      }}
    />
  );
}
