/** Return the rows by cause. The causes stay in the order in which the service lists them: the gravest first. */
export function byCause<Row extends { cause: string }>(rows: readonly Row[]): [Row["cause"], Row[]][] {
  const found = new Map<Row["cause"], Row[]>();
  for (const row of rows) {
    const group = found.get(row.cause);
    if (group) group.push(row);
    else found.set(row.cause, [row]);
  }
  return [...found];
}

export interface Part {
  /** The part of a service that was asked, empty if the name alone says what was checked. */
  part: string;
  answered: boolean;
}

/** Return what was checked by its name: `order-service/stopped` is the part `stopped` of order-service. */
export function byService(checked: readonly { what: string; answered: boolean }[]): [string, Part[]][] {
  const found = new Map<string, Part[]>();
  for (const { what, answered } of checked) {
    const [name = what, part = ""] = what.split("/", 2);
    found.set(name, [...(found.get(name) ?? []), { part, answered }]);
  }
  return [...found];
}
