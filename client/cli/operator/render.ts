/** Books as tables and bars for people. */
import Table from 'cli-table3';
import { showBytes } from '../../../proto/size.js';

export type Align = 'left' | 'right';

export interface Column {
  readonly title: string;
  readonly align?: Align;
}

/** Columns apart by two spaces, no frame: it can be read, and cut by `awk`. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const none = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '' };
  const table = new Table({
    head: columns.map(column => column.title),
    colAligns: columns.map(column => column.align ?? 'left'),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: {
      ...none,
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '',
    },
  });
  for (const row of rows) table.push([...row]);
  return `${table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n')}\n`;
}

/** `name   value` lines, the names in one column. */
export function renderPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

export interface Share {
  readonly bytes: bigint;
  readonly mark: string;
}

/** Shares of a whole side by side, the rest as dots: `#####===.....`. Any share shows, however small. */
export function bar(shares: readonly Share[], whole: bigint, width: number): string {
  let text = '';
  for (const { bytes, mark } of shares) {
    if (bytes <= 0n || whole <= 0n) continue;
    const cells = Math.max(1, Math.round((Number(bytes) / Number(whole)) * width));
    text += mark.repeat(Math.min(cells, width - text.length));
  }
  return text.padEnd(width, '.');
}

export function percent(part: bigint, whole: bigint): string {
  return whole === 0n ? '-' : `${((Number(part) / Number(whole)) * 100).toFixed(1)} %`;
}

/** `3d 4h`, `12m 5s`, `0.8s`: the two largest units. */
export function duration(ms: bigint | number): string {
  const seconds = Number(ms) / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)}s`;
  const units: readonly [string, number][] = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ];
  const first = units.findIndex(([, size]) => seconds >= size);
  let left = Math.floor(seconds);
  const parts: string[] = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    parts.push(`${Math.floor(left / size)}${unit}`);
    left %= size;
  }
  return parts.join(' ');
}

/** `1 session`, `2 sessions`. */
export const counted = (count: number | bigint, one: string): string =>
  `${count} ${one}${BigInt(count) === 1n ? '' : 's'}`;

/** What a process calls itself may hold anything printable; a terminal gets no control characters. */
export const shown = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');

/** "no limit" where the limit is all there is. */
export function limitOf(limitBytes: bigint, poolBytes: bigint): string {
  return limitBytes >= poolBytes ? 'pool' : showBytes(limitBytes);
}
