import { Link, useSearchParams } from "wouter";
import { SERVICES, type Service } from "../api/client";
import { useMessages } from "../messages/language";
import { ChoiceFilter, FilterBar, TextFilter, useFilters } from "../parts/filters";
import { Page } from "../parts/list-page";
import { Notice } from "../parts/states";
import { CauseSection } from "./cause";
import { Causes } from "./causes";
import { RecordSection, Records } from "./records";
import { SORTS } from "./sort";
import { STATES } from "./state";

/** Dead letters by their causes. `view=records`, a state or a fingerprint in the URL lists single ones. */
export default function DeadLettersPage() {
  const m = useMessages();
  const [search] = useSearchParams();
  const filters = useFilters(["service", "sort", "state", "fingerprint"] as const);
  const service = SERVICES.find((each) => each === filters.values.service);
  const state = STATES.find((each) => each === filters.values.state);
  const sort = SORTS.find((each) => each === filters.values.sort) ?? "count";
  const fingerprint = filters.values.fingerprint;
  const single = search.get("view") === "records" || state !== undefined || fingerprint !== "";
  const of: Service = service ?? SERVICES[0];
  const address = (view: string) => {
    const query = new URLSearchParams({ ...(view && { view }), ...(service && { service }) }).toString();
    return query ? `/dead-letters?${query}` : "/dead-letters";
  };
  return (
    <Page
      title={m.deadLetters.title}
      aside={
        <>
          <nav className="views" aria-label={m.deadLetters.views}>
            <Link href={address("")} aria-current={single ? undefined : "page"}>
              {m.deadLetters.byCause}
            </Link>
            <Link href={address("records")} aria-current={single ? "page" : undefined}>
              {m.deadLetters.single}
            </Link>
          </nav>
          <FilterBar filters={filters}>
            <ChoiceFilter
              label={m.deadLetters.service}
              value={single ? of : (service ?? "")}
              choices={[
                ...(single ? [] : [["", m.deadLetters.all] as const]),
                ...SERVICES.map((each) => [each, each] as const),
              ]}
              onChange={(value) => filters.set("service", value)}
            />
            {single ? (
              <>
                <ChoiceFilter
                  label={m.deadLetters.state}
                  value={state ?? ""}
                  choices={[
                    ["", m.deadLetters.all],
                    ...STATES.map((each) => [each, m.deadLetters.states[each]] as const),
                  ]}
                  onChange={(value) => filters.set("state", value)}
                />
                <TextFilter
                  label={m.deadLetters.fingerprint}
                  value={fingerprint}
                  onChange={(value) => filters.set("fingerprint", value)}
                />
              </>
            ) : (
              <ChoiceFilter
                label={m.deadLetters.sort}
                value={sort}
                choices={SORTS.map((each) => [each, m.deadLetters.sorts[each]] as const)}
                onChange={(value) => filters.set("sort", value)}
              />
            )}
          </FilterBar>
        </>
      }
    >
      {!single ? (
        <Causes services={service ? [service] : SERVICES} sort={sort} />
      ) : fingerprint !== "" && !/^[0-9a-f]{12}$/.test(fingerprint) ? (
        <Notice title={m.deadLetters.badFingerprint} detail={m.deadLetters.badFingerprintDetail} />
      ) : fingerprint ? (
        <div className="sections">
          <CauseSection key={`${of} ${fingerprint}`} service={of} fingerprint={fingerprint} />
          <RecordSection service={of} state={state} fingerprint={fingerprint} />
        </div>
      ) : (
        <Records service={of} state={state} fingerprint="" />
      )}
    </Page>
  );
}
