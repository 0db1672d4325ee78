/** Return whether the shown text is the data. The service shows bytes that are not UTF-8 as `\xff`: four for one. */
export function lossless(letter: { value: string; size: number }): boolean {
  return new TextEncoder().encode(letter.value).length === letter.size;
}
