const WIDTH = 16;

/** Return bytes as lines of an offset, 16 bytes as hexadecimal digits, and the printable ASCII characters of them. */
export function hexLines(bytes: Uint8Array): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += WIDTH) {
    let digits = "";
    let text = "";
    for (const byte of bytes.subarray(at, at + WIDTH)) {
      digits += `${byte.toString(16).padStart(2, "0")} `;
      text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
    }
    found.push(`${at.toString(16).padStart(8, "0")}  ${digits.padEnd(WIDTH * 3)} ${text}`);
  }
  return found;
}
