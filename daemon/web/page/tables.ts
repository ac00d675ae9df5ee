/// <reference lib="dom" />
/** Tables that are filled again and again: rows stay, and only a cell that changed is touched. */

export interface Cell {
  readonly text: string;
  readonly number?: boolean;
  /** Makes of it a button. */
  readonly action?: () => void;
  /** Parts of a whole, drawn before the text: of 1, with colours. */
  readonly bar?: readonly { readonly share: number; readonly colour: string }[];
}

export interface Row {
  readonly key: string;
  readonly cells: readonly Cell[];
}

const SVG = 'http://www.w3.org/2000/svg';
const BAR_WIDTH = 220;
const BAR_HEIGHT = 10;

export function fill(body: HTMLTableSectionElement, rows: readonly Row[]): void {
  const there = new Map(Array.from(body.rows, row => [row.dataset['key'] ?? '', row]));
  let before: HTMLTableRowElement | null = null;
  for (const row of rows) {
    const element = there.get(row.key) ?? newRow(row);
    there.delete(row.key);
    const place: ChildNode | null = before === null ? body.firstChild : before.nextSibling;
    if (place !== element) body.insertBefore(element, place);
    for (const [index, cell] of row.cells.entries())
      update(element.cells[index] as HTMLTableCellElement, cell);
    before = element;
  }
  for (const element of there.values()) element.remove();
}

function newRow(row: Row): HTMLTableRowElement {
  const element = document.createElement('tr');
  element.dataset['key'] = row.key;
  for (const [index, cell] of row.cells.entries()) {
    const box = document.createElement(index === 0 ? 'th' : 'td');
    if (index === 0) box.scope = 'row';
    if (cell.number === true) box.className = 'number';
    element.append(box);
  }
  return element;
}

function update(box: HTMLTableCellElement, cell: Cell): void {
  const state = JSON.stringify([cell.text, cell.bar]);
  if (box.dataset['state'] === state) return;
  box.dataset['state'] = state;
  if (cell.action !== undefined) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = cell.text;
    button.addEventListener('click', cell.action);
    box.replaceChildren(button);
    return;
  }
  if (cell.bar === undefined) box.textContent = cell.text;
  else box.replaceChildren(bar(cell.bar), cell.text);
}

/** A drawing, not styles: the page's policy allows no inline ones. */
export function bar(
  parts: readonly { readonly share: number; readonly colour: string }[],
  width = BAR_WIDTH,
): SVGElement {
  const drawing = document.createElementNS(SVG, 'svg');
  drawing.setAttribute('width', String(width));
  drawing.setAttribute('height', String(BAR_HEIGHT));
  drawing.setAttribute('aria-hidden', 'true');
  let left = 0;
  for (const { share, colour } of parts) {
    const part = document.createElementNS(SVG, 'rect');
    part.setAttribute('x', String(left));
    part.setAttribute('width', String(Math.max(0, share * width)));
    part.setAttribute('height', String(BAR_HEIGHT));
    part.setAttribute('fill', colour);
    drawing.append(part);
    left += share * width;
  }
  return drawing;
}
