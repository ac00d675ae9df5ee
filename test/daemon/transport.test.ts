import { chmodSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StartupError } from '../../daemon/exit-codes.js';
import { removeStaleSockets } from '../../daemon/transport/lock.js';
import { SessionTokens } from '../../daemon/transport/session-tokens.js';
import {
  accessFor,
  prepareSocketDirectory,
  socketPaths,
} from '../../daemon/transport/socket-directory.js';
import { TOKEN_METADATA_KEY } from '../../proto/refusal.js';
import { temporaryFolder, withToken } from './harness.js';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const modeOf = (path: string): number => lstatSync(path).mode & 0o7777;

function refused(action: () => unknown): StartupError {
  try {
    action();
  } catch (error) {
    if (error instanceof StartupError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('the socket directory', () => {
  test.each([0o000, 0o022, 0o077, 0o777])('is 0700 under umask %o, with its parents', umask => {
    const before = process.umask(umask & 0o077);
    try {
      const path = join(folder.path, 'a', 'b');
      prepareSocketDirectory(path, accessFor(null));
      expect(modeOf(path)).toBe(0o700);
    } finally {
      process.umask(before);
    }
  });

  test('is 0750 for a group', () => {
    const path = join(folder.path, 'shared');
    const gid = process.getgid?.() ?? 0;
    prepareSocketDirectory(path, accessFor(String(gid)));
    expect(modeOf(path)).toBe(0o750);
    expect(lstatSync(path).gid).toBe(gid);
  });

  test.each([0o777, 0o770, 0o1777, 0o702])(
    'of mode %o is refused: others could put their own socket there',
    mode => {
      const path = join(folder.path, 'open');
      mkdirSync(path);
      chmodSync(path, mode);
      const error = refused(() => prepareSocketDirectory(path, accessFor(null)));
      expect(error).toMatchObject({ exitCode: 4, hint: `chmod 0700 ${path}` });
      expect(error.message).toContain(mode.toString(8));
    },
  );

  test("that is a symbolic link, a file, or another user's is refused", () => {
    const link = join(folder.path, 'link');
    symlinkSync(folder.path, link);
    expect(refused(() => prepareSocketDirectory(link, accessFor(null))).message).toContain(
      'symbolic link',
    );
    const file = join(folder.path, 'file');
    writeFileSync(file, '');
    expect(refused(() => prepareSocketDirectory(file, accessFor(null))).message).toContain(
      'not a directory',
    );
    const own = process.getuid?.() ?? 0;
    expect(
      refused(() => prepareSocketDirectory(folder.path, accessFor(null), own + 1)).message,
    ).toContain(`not to ${own + 1}`);
    expect(
      refused(() => prepareSocketDirectory(join(file, 'below'), accessFor(null))).exitCode,
    ).toBe(4);
  });

  test("too deep for a socket's path is refused with the length", () => {
    expect(refused(() => socketPaths(`/${'x'.repeat(107)}`))).toMatchObject({ exitCode: 2 });
  });

  test('an unknown group is refused', () => {
    expect(refused(() => accessFor('no-such-group-here')).message).toContain('no-such-group-here');
  });

  test("what is in a socket's place and is no socket is not removed", () => {
    const paths = socketPaths(folder.path);
    writeFileSync(paths.service, 'precious');
    expect(refused(() => removeStaleSockets(paths)).message).toContain('not a socket');
  });
});

describe('session tokens', () => {
  const token = new Uint8Array(32).fill(7);
  const tokens = new SessionTokens<string>();
  tokens.add(token, 'session');

  test('the token finds its session, until it is removed', () => {
    expect(tokens.authenticate(withToken(token))).toBe('session');
    const other = new SessionTokens<string>();
    other.add(token, 'x');
    other.remove(token);
    expect(() => other.authenticate(withToken(token))).toThrow(/not the token/);
  });

  const twice = withToken(token);
  twice.add(TOKEN_METADATA_KEY, Buffer.from(token));
  test.each([
    ['none', new Metadata()],
    ['empty', withToken(new Uint8Array(0))],
    ['short', withToken(token.subarray(1))],
    ['long', withToken(new Uint8Array(33).fill(7))],
    [
      'one bit off',
      withToken(Uint8Array.from(token, (byte, index) => (index === 31 ? byte ^ 1 : byte))),
    ],
    ['two', twice],
  ])('%s is refused, always with the same words', (_, metadata) => {
    expect(() => tokens.authenticate(metadata)).toThrow(
      expect.objectContaining({
        code: 'SESSION_UNKNOWN',
        message:
          'metadata kvspan-session-token-bin is not the token of an open session: ' +
          'connect to the extent channel',
      }),
    );
  });
});
