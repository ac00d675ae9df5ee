/** What the handlers share. */
import type { Config } from '../config/schema.js';
import type { Ledger } from '../core/ledger.js';
import type { Instant, Limits } from '../core/types.js';
import type { Clock } from '../ports/clock.js';
import type { DeviceDescription } from '../ports/device.js';
import type { Observer } from '../ports/observer.js';
import type { Random } from '../ports/tokens.js';
import type { Logger } from '../telemetry/log.js';
import type { DeviceWatch } from './device-watch.js';
import type { EffectRunner } from './effects.js';
import type { Lifecycle } from './lifecycle.js';
import type { Sessions } from './sessions.js';

export interface ServiceContext {
  readonly ledger: Ledger;
  readonly effects: EffectRunner;
  readonly sessions: Sessions;
  readonly lifecycle: Lifecycle;
  readonly deviceWatch: DeviceWatch;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly observer: Observer;
  readonly config: Config;
  readonly limits: Limits;
  readonly device: DeviceDescription;
  readonly startedAt: Instant;
  readonly version: string;
  readonly extentSocket: string;
}
