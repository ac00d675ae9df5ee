/** Everything that answers, wired: one object with a beginning, a draining and an end. */
import type { Server } from '@grpc/grpc-js';
import { adminServiceDefinition, memoryServiceDefinition } from '../../proto/load.js';
import { KvspanError } from '../../proto/errors.js';
import type { Config } from '../config/schema.js';
import type { Ledger } from '../core/ledger.js';
import type { Limits } from '../core/types.js';
import type { Clock } from '../ports/clock.js';
import type {
  ChannelEvent,
  DeviceDescription,
  ExtentChannel,
  UsageMeter,
} from '../ports/device.js';
import type { Observer } from '../ports/observer.js';
import type { Random } from '../ports/tokens.js';
import type { Logger } from '../telemetry/log.js';
import type { SocketPaths } from '../transport/socket-directory.js';
import { adminService } from './admin-service.js';
import type { ServiceContext } from './context.js';
import { DeviceWatch } from './device-watch.js';
import { EffectRunner } from './effects.js';
import { Lifecycle } from './lifecycle.js';
import { memoryService } from './memory-service.js';
import { Sessions } from './sessions.js';
import { addStandardServices, type Health } from './standard-services.js';

export interface DaemonParts {
  readonly ledger: Ledger;
  readonly config: Config;
  readonly limits: Limits;
  readonly device: DeviceDescription;
  /** Null: the books are compared with nothing. */
  readonly meter: UsageMeter | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly observer: Observer;
  readonly paths: SocketPaths;
  readonly version: string;
}

export class DaemonServices {
  private readonly sessions = new Sessions();
  private readonly effects: EffectRunner;
  private readonly lifecycle: Lifecycle;
  private readonly health: Health;
  private readonly deviceWatch: DeviceWatch;
  private open: ExtentChannel | null = null;

  constructor(
    private readonly parts: DaemonParts,
    server: Server,
    /** Of the socket that is the daemon's user's alone. */
    adminServer: Server,
  ) {
    const { ledger, clock, random, config, paths } = parts;
    const log = parts.log.child({ component: 'service' });
    const { sessions } = this;
    const channel = (): ExtentChannel => this.channel();
    const effects = new EffectRunner({
      ledger,
      sessions,
      clock,
      log,
      ackTimeoutMs: config.ackTimeoutMs,
      observer: parts.observer,
      channel,
    });
    this.effects = effects;
    this.lifecycle = new Lifecycle({
      ledger,
      sessions,
      effects,
      clock,
      random,
      log,
      servicePath: paths.service,
      channel,
    });
    this.deviceWatch = new DeviceWatch({
      ...parts,
      log,
      poolBytes: parts.limits.poolBytes,
      intervalMs: config.deviceCheckMs,
    });
    const context: ServiceContext = {
      ...parts,
      log,
      deviceWatch: this.deviceWatch,
      effects,
      sessions,
      lifecycle: this.lifecycle,
      startedAt: clock.now(),
      extentSocket: paths.extents,
    };
    server.addService(memoryServiceDefinition(), memoryService(context));
    server.addService(adminServiceDefinition(), adminService(context, false));
    adminServer.addService(adminServiceDefinition(), adminService(context, true));
    this.health = addStandardServices(server, context);
  }

  /** The channel's events, from its first moment on. */
  onChannelEvent(event: ChannelEvent): void {
    this.lifecycle.onEvent(event);
  }

  attach(channel: ExtentChannel): void {
    this.open = channel;
  }

  /** No further grants; those on their way get until the deadline. */
  async drain(timeoutMs: number): Promise<void> {
    const { ledger, clock } = this.parts;
    this.health.notServing();
    this.lifecycle.drain();
    this.effects.run(ledger.drain(clock.now()));
    for (const session of this.sessions.all()) session.stream?.draining(timeoutMs);
    let late: { cancel(): void } | null = null;
    const deadline = new Promise<void>(resolve => {
      late = clock.after(timeoutMs, resolve);
    });
    await Promise.race([this.effects.settled(), deadline]);
    (late as { cancel(): void } | null)?.cancel();
  }

  /** Ends every stream, so that nothing keeps the server from closing. */
  endStreams(): void {
    this.health.endWatches();
    const why = new KvspanError('DRAINING', 'the daemon is shutting down');
    for (const session of this.sessions.all()) session.stream?.close(why);
  }

  stop(): void {
    this.deviceWatch.stop();
    this.effects.stop();
  }

  private channel(): ExtentChannel {
    if (this.open === null) throw new KvspanError('INTERNAL', 'the extent channel is not open');
    return this.open;
  }
}
