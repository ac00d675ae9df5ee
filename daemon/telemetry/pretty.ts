/** A JSON line of the log as a person reads it: `12:00:01.250 info  service: session opened pid=7`. */

const TIME_START = 11;
const TIME_END = 23;
const LEVEL_WIDTH = 5;

function showValue(value: unknown): string {
  if (typeof value === 'string') return /[\s="]/.test(value) ? JSON.stringify(value) : value;
  return JSON.stringify(value) ?? '';
}

/** A field that is text as far as the log knows; whatever else it is, a person can read it. */
const text = (value: unknown): string =>
  value === undefined ? '' : typeof value === 'string' ? value : (JSON.stringify(value) ?? '');

export function prettyLine(line: string): string {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { level, time, component, msg, err, ...fields } = entry;
  const head = `${text(time).slice(TIME_START, TIME_END)} ${text(level).padEnd(LEVEL_WIDTH)}`;
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${showValue(value)}`);
  const trouble = err === undefined ? '' : `\n  ${stackOf(err)}`;
  const source = component === undefined ? '' : `${text(component)}: `;
  return `${head} ${source}${text(msg)}${rest.join('')}${trouble}\n`;
}

function stackOf(err: unknown): string {
  const { stack, message } = (err ?? {}) as { stack?: unknown; message?: unknown };
  return text(stack ?? message ?? err).replaceAll('\n', '\n  ');
}
