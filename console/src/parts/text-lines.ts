/** A line longer than this is cut into several, because laying out one long line freezes a browser. */
export const LONGEST = 400;

/** Return a text as lines that can be shown one by one. JSON is indented; anything else stays as it is. */
export function linesOf(text: string): string[] {
  return indented(text)
    .split("\n")
    .flatMap((line) => (line.length <= LONGEST ? [line] : pieces(line)));
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text, keepNumber), null, 2);
  } catch {
    return text;
  }
}

/** Keep a number as it was written: a float would change the last digits of a long one. */
function keepNumber(_: string, value: unknown, context?: { source?: string }): unknown {
  const raw = (JSON as { rawJSON?: (text: string) => unknown }).rawJSON;
  return typeof value === "number" && context?.source !== undefined && raw ? raw(context.source) : value;
}

function pieces(line: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < line.length; at += LONGEST) found.push(line.slice(at, at + LONGEST));
  return found;
}
