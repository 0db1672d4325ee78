const formats = new Map<string, Intl.NumberFormat>();

/** Return a number with the separators of the language, or "—" if there is none: zero and unknown look different. */
export function count(value: number | null | undefined, tag: string): string {
  if (value === null || value === undefined) return "—";
  let found = formats.get(tag);
  if (found === undefined) {
    found = new Intl.NumberFormat(tag, { maximumFractionDigits: 6 });
    formats.set(tag, found);
  }
  return found.format(value);
}

/** Return an amount with its currency. It stays a decimal text, because a float could change its last digits. */
export function money(amount: string | null | undefined, currency: string): string {
  return amount === null || amount === undefined ? "—" : `${amount} ${currency}`;
}
