/**
 * Writes `proto/generated`: TypeScript types of every message, and the descriptors, embedded so
 * that nothing reads a .proto file at run time (a bundle has none). And `docs/reference/grpc.md`.
 *
 *   node proto/generate.mjs           writes
 *   node proto/generate.mjs --check   exits 1 if what is committed differs
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reference } from './reference.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const bin = join(here, '..', 'node_modules', '.bin');
const target = join(here, 'generated');
const page = join(here, '..', 'docs', 'reference', 'grpc.md');
const BASE64_COLUMNS = 96;

/** The standard services: their .proto files come with the packages that define them. */
function standardProtos(scratch) {
  const health = join(dirname(require.resolve('grpc-health-check/package.json')), 'proto');
  const reflection = join(
    dirname(require.resolve('@grpc/reflection/package.json')),
    'build',
    'proto',
  );
  cpSync(join(health, 'health'), join(scratch, 'health'), { recursive: true });
  cpSync(join(reflection, 'grpc'), join(scratch, 'grpc'), { recursive: true });
}

function descriptorSet(folder, scratch) {
  const file = join(scratch, `${folder.replaceAll('/', '_')}.binpb`);
  execFileSync(join(bin, 'buf'), ['build', folder, '--exclude-source-info', '-o', file], {
    stdio: 'inherit',
  });
  return readFileSync(file);
}

/**
 * The same set with every field under its JSON name: proto-loader takes names from a descriptor as
 * they are, whatever `keepCase` says, and the generated types are in camel case.
 */
function inCamelCase(set) {
  const { FileDescriptorSet } = require('protobufjs/ext/descriptor');
  const decoded = FileDescriptorSet.decode(set);
  const rename = message => {
    for (const field of message.field) field.name = field.jsonName;
    for (const oneof of message.oneofDecl)
      oneof.name = oneof.name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
    for (const nested of message.nestedType) rename(nested);
  };
  for (const file of decoded.file) for (const message of file.messageType) rename(message);
  return Buffer.from(FileDescriptorSet.encode(decoded).finish());
}

function constant(name, comment, data) {
  const lines = data.toString('base64').match(new RegExp(`.{1,${BASE64_COLUMNS}}`, 'g'));
  return `/** ${comment} */\nexport const ${name} =\n${lines.map(line => `  '${line}'`).join(' +\n')};\n`;
}

function writeTypes(out) {
  const flags = ['--longs=String', '--enums=String', '--defaults', '--oneofs', '--includeComments'];
  const imports = ['--importFileExtension=.js', '--grpcLib=@grpc/grpc-js'];
  const files = ['kvspan/v1/memory.proto', 'kvspan/v1/admin.proto'];
  execFileSync(
    join(bin, 'proto-loader-gen-types'),
    [...flags, ...imports, `--includeDirs=${here}`, `--outDir=${out}`, ...files],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  for (const [name, text] of filesOf(out))
    writeFileSync(join(out, name), text.replaceAll(`${here}/`, 'proto/'));
}

function writeDescriptors(out, scratch) {
  const own = descriptorSet(here, scratch);
  const standardFolder = join(scratch, 'standard');
  mkdirSync(standardFolder);
  standardProtos(standardFolder);
  const standard = descriptorSet(standardFolder, scratch);
  const text = [
    '// Written by proto/generate.mjs. Base64 of FileDescriptorSets.\n',
    constant('kvspanDescriptors', 'kvspan.v1 as it is written: for reflection.', own),
    constant(
      'kvspanCamelCaseDescriptors',
      'kvspan.v1 with fields in camel case: for the codec.',
      inCamelCase(own),
    ),
    constant(
      'standardDescriptors',
      'grpc.health.v1 and grpc.reflection.v1.',
      inCamelCase(standard),
    ),
  ].join('\n');
  writeFileSync(join(out, 'descriptor-set.ts'), text);
}

function referencePage(scratch) {
  const file = join(scratch, 'with-comments.json');
  execFileSync(join(bin, 'buf'), ['build', here, '-o', file], { stdio: 'inherit' });
  return reference(JSON.parse(readFileSync(file, 'utf8')));
}

function filesOf(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Map(
    entries
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name))
      .map(path => [relative(folder, path), readFileSync(path, 'utf8')]),
  );
}

function differences(wanted, have) {
  const names = new Set([...wanted.keys(), ...have.keys()]);
  return [...names]
    .filter(name => wanted.get(name) !== have.get(name))
    .toSorted((a, b) => a.localeCompare(b));
}

const scratch = mkdtempSync(join(tmpdir(), 'kvspan-generate-'));
try {
  const out = join(scratch, 'generated');
  mkdirSync(out);
  writeTypes(out);
  writeDescriptors(out, scratch);
  if (process.argv.includes('--check')) {
    mkdirSync(target, { recursive: true });
    const stale = differences(filesOf(out), filesOf(target));
    if (!existsSync(page) || readFileSync(page, 'utf8') !== referencePage(scratch))
      stale.push(relative(target, page));
    if (stale.length > 0) {
      console.error(`proto/generated is not current (run: npm run generate): ${stale.join(', ')}`);
      process.exitCode = 1;
    }
  } else {
    mkdirSync(dirname(page), { recursive: true });
    writeFileSync(page, referencePage(scratch));
    rmSync(target, { recursive: true, force: true });
    cpSync(out, target, { recursive: true });
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
