/** What no figure says, as a table: how something was called, or why it was not measured. */
import type { BenchResult } from './results.js';

/** Nothing, or a heading and a table; what is said of several cases is said once. */
export function noted(result: BenchResult): string[] {
  const { notes = [] } = result;
  if (notes.length === 0) return [];
  const cases = new Map<string, { way: string; text: string; cases: string[] }>();
  for (const { case: name, way, text } of notes) {
    // Layers differ from case to case: that is one way.
    const plain = way.replace(/ \(\d+ layers?\)/, '');
    const key = JSON.stringify([plain, text]);
    const known = cases.get(key) ?? { way: plain, text, cases: [] };
    if (!known.cases.includes(name)) known.cases.push(name);
    cases.set(key, known);
  }
  const total = new Set(notes.map(note => note.case)).size;
  const lines = [...cases.values()].map(({ way, text, cases: of }) => {
    const where = of.length === total ? 'all' : of.join('; ');
    return `| ${[way, text, where].map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return [['| | how, or why not | cases |', '|---|---|---|', ...lines].join('\n')];
}
