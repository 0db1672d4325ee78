/** Return the address of an item's page. An item id may have any printable characters. */
export function itemHref(item: string): string {
  return `/stock/${encodeURIComponent(item)}`;
}
