/** How far a run is: a bar on a terminal, a line now and then elsewhere, or nothing. */
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  update(ended: number, total: number): void;
  stop(): void;
}

const silent: Progress = { update: () => {}, stop: () => {} };

/** Lines for a run whose output goes to a file: at every tenth of it. */
const LINES = 10;

export function createProgress(wanted: boolean, stream: NodeJS.WriteStream): Progress {
  if (!wanted) return silent;
  return stream.isTTY ? bar(stream) : lines(stream);
}

function bar(stream: NodeJS.WriteStream): Progress {
  const format = '  replaying {bar} {value}/{total} requests | {duration_formatted}';
  // Cursor and line wrap stay: a run that Ctrl-C ends would leave the terminal without them.
  const still = { hideCursor: false, linewrap: true };
  const single = new SingleBar({ format, stream, ...still }, Presets.shades_classic);
  let started = false;
  return {
    update(ended, total) {
      if (!started) single.start(total, ended);
      started = true;
      single.update(ended);
    },
    stop() {
      if (started) single.stop();
    },
  };
}

function lines(stream: NodeJS.WriteStream): Progress {
  let shown = 0;
  return {
    update(ended, total) {
      const part = Math.floor((ended / total) * LINES);
      if (part <= shown) return;
      shown = part;
      stream.write(`  replayed ${ended} of ${total} requests\n`);
    },
    stop: () => {},
  };
}
