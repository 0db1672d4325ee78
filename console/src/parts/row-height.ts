const ROW = 36;
const CARD_LINE = 24;
const CARD_ROOM = 20;

/** Return the height of a row in pixels. On a phone it is a card with a line for each column. */
export function rowHeight(phone: boolean, columns: number): number {
  return phone ? columns * CARD_LINE + CARD_ROOM : ROW;
}
