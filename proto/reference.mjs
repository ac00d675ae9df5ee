/**
 * The gRPC reference, `docs/reference/grpc.md`, out of the proto files and their comments: every
 * service, call, message, field and enum, types linked. Called by `generate.mjs`.
 */

// Numbers of fields in descriptor.proto, of which a comment's path is made.
const PACKAGE = 2;
const MESSAGE = 4;
const ENUM = 5;
const SERVICE = 6;
/** Of fields in a message, values in an enum and methods in a service alike. */
const MEMBER = 2;

/** `path` -> the comment's paragraphs, each one line. */
function commentsOf(file) {
  const comments = new Map();
  for (const { path = [], leadingComments = '' } of file.sourceCodeInfo.location) {
    const paragraphs = leadingComments
      .split(/\n\s*\n/)
      .map(text => text.trim().replaceAll(/\s*\n\s*/g, ' '))
      .filter(text => text !== '');
    if (paragraphs.length > 0) comments.set(path.join('.'), paragraphs);
  }
  return (...path) => comments.get(path.join('.')) ?? [];
}

const inCell = paragraphs => paragraphs.join('<br>').replaceAll('|', '\\|');
const anchor = title => title.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '');
const link = title => `[${title}](#${anchor(title)})`;
const shortName = typeName => typeName.split('.').at(-1);

function typeOf(field) {
  const type = field.typeName
    ? link(shortName(field.typeName))
    : `\`${field.type.slice('TYPE_'.length).toLowerCase()}\``;
  return field.label === 'LABEL_REPEATED' ? `repeated ${type}` : type;
}

const side = (typeName, streaming) => `${streaming ? 'stream ' : ''}${link(shortName(typeName))}`;

function method(service, { name, inputType, outputType, clientStreaming, serverStreaming }, text) {
  const takes = side(inputType, clientStreaming);
  const gives = side(outputType, serverStreaming);
  return [`#### ${service}.${name}`, `${takes} → ${gives}`, ...text];
}

function services({ file, of }) {
  return (file.service ?? []).flatMap((service, at) => [
    `### ${service.name}`,
    ...of(SERVICE, at),
    ...service.method.flatMap((each, index) =>
      method(service.name, each, of(SERVICE, at, MEMBER, index)),
    ),
  ]);
}

function messages({ file, of }) {
  return (file.messageType ?? []).flatMap((message, at) => {
    const rows = (message.field ?? []).map((field, index) => {
      const oneof = field.oneofIndex === undefined ? null : message.oneofDecl[field.oneofIndex];
      const choice = oneof === null ? [] : [`(one of \`${oneof.name}\`)`];
      const text = [...choice, ...of(MESSAGE, at, MEMBER, index)];
      return `| ${field.number} | \`${field.name}\` | ${typeOf(field)} | ${inCell(text)} |`;
    });
    const head = '| | field | type | |\n| --: | --- | --- | --- |\n';
    const table = rows.length === 0 ? 'No fields.' : head + rows.join('\n');
    return [`### ${message.name}`, ...of(MESSAGE, at), table];
  });
}

function enums({ file, of }) {
  return (file.enumType ?? []).flatMap((each, at) => {
    const rows = each.value.map(
      ({ number = 0, name }, index) =>
        `| ${number} | \`${name}\` | ${inCell(of(ENUM, at, MEMBER, index))} |`,
    );
    const head = '| | value | |\n| --: | --- | --- |\n';
    return [`### ${each.name}`, ...of(ENUM, at), head + rows.join('\n')];
  });
}

/** `set`: a FileDescriptorSet with source info, as JSON. */
export function reference(set) {
  // What is imported comes last: first what is asked for, then the nouns.
  const files = set.file.toReversed().map(file => ({ file, of: commentsOf(file) }));
  const intro = files.flatMap(({ file, of }) => [`**\`${file.name}\`**`, ...of(PACKAGE)]);
  const part = (title, render) => [`## ${title}`, ...files.flatMap(render)];
  return `${[
    '<!-- Written by proto/generate.mjs from proto/kvspan/v1: npm run generate. -->',
    '# gRPC reference',
    'What `kvspan.v1` has on the wire. Error codes: [errors.md](errors.md). The standard services ' +
      '`grpc.health.v1.Health` and `grpc.reflection.v1.ServerReflection` are served beside these.',
    ...intro,
    ...part('Services', services),
    ...part('Messages', messages),
    ...part('Enums', enums),
  ].join('\n\n')}\n`;
}
