/** The bench's side of its serving processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { commandLine } from '../demo/daemon.js';
import type { Answers, FromProcess, Job, ToProcess } from './protocol.js';
import { timeOfDay } from './protocol.js';
import { type Tenant, tenants } from './tenants.js';

/** The name under which `kvspan bench` knows a serving process. */
export const PROCESS_COMMAND = 'elasticity-process';
const END_MS = 10_000;
const OUTPUT_CHARACTERS = 4000;
/** Between saying when everybody begins, and that moment. */
const HEAD_START_MS = 20;

/** A job under way in a process. */
export interface Performance<Kind extends keyof Answers> {
  readonly ready: Promise<void>;
  readonly answer: Promise<Answers[Kind]>;
  go(atMs: number): void;
  halt(): void;
}

const nobodyWaits = (): void => {};

export class ServingProcess {
  readonly #child: ChildProcess;
  #output = '';
  #listener: ((message: FromProcess) => void) | null = null;
  readonly #ended: Promise<string>;

  constructor(readonly tenant: Tenant) {
    const args = [commandLine(), 'bench', PROCESS_COMMAND];
    this.#child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_CHARACTERS);
    };
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    this.#child.on('message', message => this.#listener?.(message as FromProcess));
    this.#ended = new Promise(resolve => {
      this.#child.once('error', error => resolve(error.message));
      // Not `close`: it does not come to a process from which this one has disconnected.
      this.#child.once('exit', (code, signal) =>
        setImmediate(() => resolve(`ended with ${signal ?? `status ${code}`}: ${this.#output}`)),
      );
    });
  }

  perform<Kind extends keyof Answers>(job: Extract<Job, { kind: Kind }>): Performance<Kind> {
    let prepared = nobodyWaits;
    const answer = new Promise<Answers[Kind]>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new Error(`the serving process of ${this.tenant}, ${job.kind}: ${why}`));
      void this.#ended.then(fail);
      this.#listener = message => {
        if (message.type === 'ready') prepared();
        else if (message.type === 'failed') fail(message.message);
        else resolve(message.answer as Answers[Kind]);
      };
    });
    // Who fails before it is ready will never be.
    const ready = Promise.race([
      new Promise<void>(resolve => (prepared = resolve)),
      answer.then(() => undefined),
    ]);
    ready.catch(() => undefined);
    answer.catch(() => undefined);
    this.#tell({ type: 'job', job });
    return {
      ready,
      answer,
      go: atMs => this.#tell({ type: 'go', atMs }),
      halt: () => this.#tell({ type: 'halt' }),
    };
  }

  async close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    // It has nothing left to do, but gRPC would keep it for some seconds more.
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
    await this.#ended;
    clearTimeout(late);
  }

  #tell(message: ToProcess): void {
    if (this.#child.connected) this.#child.send(message);
  }
}

export class ServingProcesses {
  readonly #all = new Map(tenants.map(tenant => [tenant, new ServingProcess(tenant)]));

  of(tenant: Tenant): ServingProcess {
    return this.#all.get(tenant) as ServingProcess;
  }

  /** All begin at the same moment, once all are ready. */
  async together<Kind extends keyof Answers>(
    performances: readonly Performance<Kind>[],
  ): Promise<Answers[Kind][]> {
    await Promise.all(performances.map(({ ready }) => ready));
    const atMs = timeOfDay() + HEAD_START_MS;
    for (const performance of performances) performance.go(atMs);
    return Promise.all(performances.map(({ answer }) => answer));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all.values()].map(one => one.close()));
  }
}
