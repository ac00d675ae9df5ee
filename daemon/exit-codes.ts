/**
 * Why a daemon ends. Each reason has a code of its own, so that a supervisor can tell "start it
 * again" (crashed) from "somebody must change something" (everything between).
 */
export const ExitCode = {
  /** Stopped by a signal or by `stop()`. */
  clean: 0,
  /** A fault of kvspan's own, before it served. */
  internal: 1,
  /** The configuration is wrong: key, source and value are named. */
  config: 2,
  /** Another daemon serves on the same socket directory. */
  anotherDaemon: 3,
  /** The socket directory or the log file may not be used. */
  permission: 4,
  /** No backend could be opened, or not the one asked for. */
  noDevice: 5,
  /** The pool does not fit the device. */
  poolTooLarge: 6,
  /** A fault of kvspan's own while serving: it ends rather than limps. */
  crashed: 70,
} as const;

export type ExitReason = keyof typeof ExitCode;

/** A daemon that cannot start: one line why, one line what would help. */
export class StartupError extends Error {
  override readonly name = 'StartupError';

  constructor(
    readonly reason: ExitReason,
    message: string,
    /** What the operator can do about it; may be ''. */
    readonly hint: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }

  get exitCode(): number {
    return ExitCode[this.reason];
  }
}
