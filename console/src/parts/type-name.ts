/** Return `OrderPlaced` for `crossdock.OrderPlaced.v1`. Another type stays as it is. */
export function shortType(type: string | undefined): string | undefined {
  return type === undefined ? undefined : (/^crossdock\.(\w+)\.v1$/.exec(type)?.[1] ?? type);
}
