/**
 * Puts the examples into the guides, word for word: what a guide shows is what is run and tested. In a
 * guide `<!-- examples/NAME -->` stands before the block that holds the file.
 *
 *   node docs/embed.mjs           writes (part of `npm run generate`)
 *   node docs/embed.mjs --check   exits 1 if a guide shows something else
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const clients = join(fileURLToPath(new URL('.', import.meta.url)), 'clients');
const MARK = /<!-- (examples\/\S+) -->\n(?:```[^]*?\n```\n)?/g;
const LANGUAGES = { '.ts': 'ts', '.py': 'python' };

function embedded(text) {
  return text.replaceAll(MARK, (_, name) => {
    const language = LANGUAGES[extname(name)];
    const code = readFileSync(join(clients, name), 'utf8');
    return `<!-- ${name} -->\n\`\`\`${language}\n${code}\`\`\`\n`;
  });
}

for (const name of readdirSync(clients).filter(file => file.endsWith('.md'))) {
  const path = join(clients, name);
  const text = readFileSync(path, 'utf8');
  const wanted = embedded(text);
  if (text === wanted) continue;
  if (process.argv.includes('--check')) {
    console.error(`docs/clients/${name} does not show its examples as they are: npm run generate`);
    process.exitCode = 1;
  } else writeFileSync(path, wanted);
}
