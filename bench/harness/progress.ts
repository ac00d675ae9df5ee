/** How far a bench is: a bar on a terminal, a line a part elsewhere. */
import { Presets, SingleBar } from 'cli-progress';

/** Told by a part as it goes: 0 to 1 of it is done. */
export type Tick = (share: number) => void;

export interface Progress {
  /** Begins a part; the ticks that it is to be given. */
  begin(part: string): Tick;
  end(part: string): void;
  stop(): void;
}

/** A part's share of the bar. */
const UNITS = 100;

export function createProgress(
  bench: string,
  parts: number,
  stream: NodeJS.WriteStream = process.stderr,
): Progress {
  return stream.isTTY ? bar(bench, parts, stream) : lines(bench, stream);
}

function bar(bench: string, parts: number, stream: NodeJS.WriteStream): Progress {
  const format = `bench ${bench}  {bar} {percentage}% | {part} | {duration_formatted}`;
  // Cursor and line wrap stay: a run that Ctrl-C ends would leave the terminal without them.
  const still = { hideCursor: false, linewrap: true };
  const single = new SingleBar({ format, stream, ...still }, Presets.shades_classic);
  single.start(parts * UNITS, 0, { part: '' });
  let ended = 0;
  return {
    begin(part) {
      single.update(ended * UNITS, { part });
      return share => single.update(Math.round((ended + clamp(share)) * UNITS), { part });
    },
    end(part) {
      ended += 1;
      single.update(ended * UNITS, { part });
    },
    stop: () => single.stop(),
  };
}

const clamp = (share: number): number => Math.min(1, Math.max(0, share));

function lines(bench: string, stream: NodeJS.WriteStream): Progress {
  let began = 0;
  return {
    begin() {
      began = performance.now();
      return () => {};
    },
    end(part) {
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      stream.write(`bench ${bench}: ${part}, ${seconds} s\n`);
    },
    stop: () => {},
  };
}
