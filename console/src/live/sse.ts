/** One message of a stream of server-sent events. */
export interface Message {
  /** The cursor of the event, or "" if the message has none. */
  id: string;
  event: string;
  data: string;
}

/** Parse a stream of server-sent events (WHATWG HTML, 9.2), chunk by chunk. Comments and `retry` are ignored. */
export class Parser {
  /** The cursor behind everything that came out. A comment has one too. */
  lastId = "";
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];

  /** Return the messages that this chunk completes. */
  push(chunk: string): Message[] {
    const found: Message[] = [];
    const text = this.#rest + chunk;
    let from = 0;
    for (;;) {
      const at = text.indexOf("\n", from);
      if (at < 0) break;
      const line = text.slice(from, text[at - 1] === "\r" && at > from ? at - 1 : at);
      from = at + 1;
      if (line === "") {
        const message = this.#complete();
        if (message !== undefined) found.push(message);
      } else this.#field(line);
    }
    this.#rest = text.slice(from);
    return found;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") this.#data.push(value);
    else if (name === "id") this.#id = value;
    else if (name === "event") this.#event = value;
  }

  #complete(): Message | undefined {
    const { data, event } = { data: this.#data, event: this.#event };
    this.#data = [];
    this.#event = "";
    this.lastId = this.#id;
    if (data.length === 0) return undefined;
    return { id: this.#id, event: event === "" ? "message" : event, data: data.join("\n") };
  }
}
