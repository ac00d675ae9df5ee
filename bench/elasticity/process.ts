/** A serving process of the bench: does one job after the other, until the bench has gone. */
import type { Answers, FromProcess, Job, ToProcess } from './protocol.js';
import { closeWorker, contend, hold, serve, type Stage, take } from './roles.js';

export async function main(): Promise<number> {
  if (process.send === undefined) {
    process.stderr.write('kvspan bench elasticity-process: only the elasticity bench starts it\n');
    return 2;
  }
  const inbox = new Inbox();
  for (;;) {
    const next = await inbox.next('job');
    if (next === null) break;
    // What was said to a job before this one is nobody's any more.
    inbox.clear();
    tell(await done(next.job, stageOf(inbox)));
  }
  closeWorker();
  return 0;
}

const tell = (message: FromProcess): void => {
  if (process.connected) process.send?.(message);
};

async function done(job: Job, stage: Stage): Promise<FromProcess> {
  try {
    return { type: 'done', answer: await perform(job, stage) };
  } catch (error) {
    return { type: 'failed', message: (error as Error).stack ?? String(error) };
  }
}

function perform(job: Job, stage: Stage): Promise<Answers[keyof Answers]> {
  if (job.kind === 'serve') return serve(job, stage);
  if (job.kind === 'hold') return hold(job, stage);
  if (job.kind === 'take') return take(job, stage);
  return contend(job, stage);
}

function stageOf(inbox: Inbox): Stage {
  return {
    async ready() {
      tell({ type: 'ready' });
      const go = await inbox.next('go');
      if (go === null) throw new Error('the bench has gone');
      return go.atMs;
    },
    halted: inbox.next('halt').then(() => undefined),
  };
}

type Of<Type extends ToProcess['type']> = Extract<ToProcess, { type: Type }>;

/** The bench's messages by their type; null: it has gone. */
class Inbox {
  readonly #kept: ToProcess[] = [];
  #waiting: { readonly type: string; readonly resolve: (message: ToProcess | null) => void }[] = [];

  constructor() {
    process.on('message', (message: ToProcess) => this.#take(message));
    process.on('disconnect', () => {
      for (const { resolve } of this.#waiting.splice(0)) resolve(null);
    });
  }

  next<Type extends ToProcess['type']>(type: Type): Promise<Of<Type> | null> {
    const at = this.#kept.findIndex(message => message.type === type);
    if (at >= 0) return Promise.resolve(this.#kept.splice(at, 1)[0] as Of<Type>);
    if (!process.connected) return Promise.resolve(null);
    return new Promise(resolve =>
      this.#waiting.push({ type, resolve: message => resolve(message as Of<Type> | null) }),
    );
  }

  clear(): void {
    this.#kept.length = 0;
    for (const { resolve } of this.#waiting.splice(0)) resolve(null);
  }

  #take(message: ToProcess): void {
    const at = this.#waiting.findIndex(({ type }) => type === message.type);
    if (at < 0) this.#kept.push(message);
    else this.#waiting.splice(at, 1)[0]?.resolve(message);
  }
}
