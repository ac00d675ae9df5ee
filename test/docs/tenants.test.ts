/** The worked example of `docs/tenants.md`, by the daemon's own decisions. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../daemon/config/load.js';
import { tenantsOf } from '../../daemon/config/tenants.js';
import type { Ledger } from '../../daemon/core/ledger.js';
import { bytes, type Effect, type ExtentId, type SessionId } from '../../daemon/core/types.js';
import { at, ledgerOf, request } from '../core/support.js';

const GIB = 2n ** 30n;
const POOL = bytes(40n * GIB);
/** A request's memory: 64 MiB, one extent. */
const PIECE = 64n * 2n ** 20n;
const PIECE_COUNTS = [0, 0, 0, 0, 0, 1];
const ALL = POOL / PIECE;
const ROUNDS_MAX = 10_000;

const guide = readFileSync(new URL('../../docs/tenants.md', import.meta.url), 'utf8');
/** Users of no machine's /etc/passwd, by numbers. */
const uids: Readonly<Record<string, number>> = { chat: 2001, batch: 2002, dev: 2003 };

function ledgerOfTheGuide(): Ledger {
  const toml = /```toml\n([^]*?)```/.exec(guide)?.[1] ?? '';
  const folder = mkdtempSync(join(tmpdir(), 'kvspan-docs-'));
  const file = join(folder, 'kvspan.toml');
  writeFileSync(
    file,
    toml.replaceAll(/users = \["(\w+)"\]/g, (_, name: string) => `users = [${uids[name]}]`),
  );
  const { tenants } = loadConfig({ config: file }, {});
  rmSync(folder, { recursive: true });
  return ledgerOf({
    poolBytes: POOL,
    sessionLimitBytes: POOL,
    tenants: tenantsOf(tenants, POOL),
  });
}

/** An engine that wants so many pieces, and gives back at once whatever it is asked for. */
class Engine {
  wanted = 0n;
  readonly held: ExtentId[] = [];
  waits = false;
  grants = 0;

  constructor(
    readonly ledger: Ledger,
    readonly session: SessionId,
  ) {}

  /** Whether it asked for anything. */
  ask(): Effect[] {
    if (this.waits || BigInt(this.held.length) >= this.wanted) return [];
    this.grants += 1;
    this.waits = true;
    try {
      return this.ledger.requestGrant(
        this.session,
        request(this.grants, PIECE_COUNTS, 0, 10_000),
        at(0),
      );
    } catch {
      // Its tenant's limit.
      this.waits = false;
      this.wanted = BigInt(this.held.length);
      return [];
    }
  }

  on(effect: Effect): Effect[] {
    if (effect.kind === 'grant') {
      this.waits = false;
      this.held.push(...effect.extents.map(({ id }) => id));
      return this.ledger.grantSettled(this.session, effect.grant, effect.extents.length, at(0));
    }
    if (effect.kind !== 'reclaim') return [];
    // All of it is in use: what is asked for as idle memory alone is not to be had.
    const pieces = effect.idleOnly ? 0n : (effect.wantedBytes + PIECE - 1n) / PIECE;
    const ids = this.held.splice(0, Number(pieces));
    const after = ids.length > 0 ? this.ledger.returnExtents(this.session, ids, at(0)).effects : [];
    return [...after, ...this.ledger.reclaimReported(this.session, effect.reclaim, at(0))];
  }
}

function settle(engines: readonly Engine[]): void {
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const effects = engines.flatMap(engine => engine.ask());
    if (effects.length === 0) return;
    for (let effect = effects.shift(); effect !== undefined; effect = effects.shift()) {
      const { session } = effect;
      const engine = engines.find(one => one.session === session);
      if (engine !== undefined) effects.push(...engine.on(effect));
    }
  }
}

const pieces = (gib: bigint): bigint => (gib * GIB) / PIECE;

const rows = guide
  .split('\n')
  .filter(line => /^\| .* \| [\d.]+ \| [\d.]+ \| [\d.]+ \|/.test(line))
  .map(line => line.split('|').slice(2, 5).map(Number));

it('the worked example comes out as the table says', () => {
  const ledger = ledgerOfTheGuide();
  const engines = ['chat', 'batch', 'dev'].map((name, index) => {
    const uid = uids[name] as number;
    const peer = { pid: 10 + index, uid, gid: uid, name };
    return new Engine(ledger, ledger.openSession(peer, at(0)));
  });
  const [chat, batch, dev] = engines as [Engine, Engine, Engine];
  const steps = [
    () => (batch.wanted = ALL),
    () => (chat.wanted = pieces(16n)),
    () => (chat.wanted = ALL),
    () => (dev.wanted = pieces(4n)),
    () => (dev.wanted = ALL),
  ];
  expect(rows).toHaveLength(steps.length);
  for (const [index, step] of steps.entries()) {
    step();
    settle(engines);
    const held = engines.map(
      ({ held: extents }) => Number(BigInt(extents.length) * PIECE) / 2 ** 30,
    );
    for (const [who, gib] of held.entries())
      expect(
        Math.abs(gib - (rows[index]?.[who] ?? NaN)),
        `row ${index}: ${held.join(' ')}`,
      ).toBeLessThan(0.2);
  }
});
