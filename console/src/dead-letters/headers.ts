/** Return the headers of a record that somebody typed as a JSON object of texts. Throw an Error with a sentence. */
export function headersFrom(typed: string): Record<string, string> {
  let found: unknown;
  try {
    found = JSON.parse(typed);
  } catch (error) {
    throw new Error(`JSON: ${(error as Error).message}`);
  }
  const isObject = typeof found === "object" && found !== null && !Array.isArray(found);
  if (!isObject || Object.values(found as object).some((value) => typeof value !== "string")) {
    throw new Error('JSON: {"name": "value", …}');
  }
  return found as Record<string, string>;
}
