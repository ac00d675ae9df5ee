/** Bars of demo and benches on a terminal: Ctrl-C may end them at any moment, and it is as it was. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { createProgress as demoProgress } from '../../bench/demo/progress.js';
import { createProgress as benchProgress } from '../../bench/harness/progress.js';

/** A terminal as far as a bar looks at it; and all that was written to it. */
function terminal() {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
  const written = () => String(stream.read() ?? '');
  return { stream: stream as unknown as NodeJS.WriteStream, written };
}

/** Line wrap off, cursor off: what `stop` would undo, if it came to that. */
const TAKEN_AWAY = ['\u001b[?7l', '\u001b[?25l'];

it.each([
  [
    'demo',
    (stream: NodeJS.WriteStream) => {
      const progress = demoProgress(true, stream);
      progress.update(1, 10);
      return progress;
    },
  ],
  [
    'benches',
    (stream: NodeJS.WriteStream) => {
      const progress = benchProgress('x', 2, stream);
      progress.begin('first')(0.5);
      return progress;
    },
  ],
])('the bar of the %s takes nothing from the terminal that only its end gives back', (_, begin) => {
  const { stream, written } = terminal();
  const progress = begin(stream);
  const text = written();
  progress.stop();
  expect(text.length).toBeGreaterThan(10);
  for (const sequence of TAKEN_AWAY) expect(text).not.toContain(sequence);
});
