// Just enough of the ELF format (System V ABI; "Symbol Versioning" of the LSB) to say which glibc a
// binary needs, and to make the need for one version weak.
const SHT_DYNSYM = 11;
const SHT_GNU_VERNEED = 0x6ffffffe;
const VER_FLG_WEAK = 2;
const STB_WEAK = 2;

function sections(elf) {
  if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1)
    throw new Error('not a little-endian ELF64 file');
  const table = Number(elf.readBigUInt64LE(0x28));
  const size = elf.readUInt16LE(0x3a);
  return Array.from({ length: elf.readUInt16LE(0x3c) }, (_, index) => {
    const at = table + index * size;
    return {
      type: elf.readUInt32LE(at + 4),
      offset: Number(elf.readBigUInt64LE(at + 24)),
      size: Number(elf.readBigUInt64LE(at + 32)),
      link: elf.readUInt32LE(at + 40),
      info: elf.readUInt32LE(at + 44),
    };
  });
}

function text(elf, at) {
  return elf.toString('latin1', at, elf.indexOf(0, at));
}

/** Every version a binary needs of its libraries: where the entry stands, its name, whether weak. */
export function versionNeeds(elf) {
  const all = sections(elf);
  const needs = all.find(section => section.type === SHT_GNU_VERNEED);
  if (needs === undefined) return [];
  const strings = all[needs.link].offset;
  const found = [];
  let file = needs.offset;
  for (let i = 0; i < needs.info; i += 1) {
    let entry = file + elf.readUInt32LE(file + 8);
    for (let j = 0; j < elf.readUInt16LE(file + 2); j += 1) {
      found.push({
        at: entry,
        name: text(elf, strings + elf.readUInt32LE(entry + 8)),
        weak: (elf.readUInt16LE(entry + 4) & VER_FLG_WEAK) !== 0,
      });
      entry += elf.readUInt32LE(entry + 12);
    }
    file += elf.readUInt32LE(file + 12);
  }
  return found;
}

/** The newest glibc that must be there for the binary to load, as [major, minor]. */
export function glibcNeeded(elf) {
  return versionNeeds(elf)
    .filter(need => !need.weak)
    .map(need => /^GLIBC_(\d+)\.(\d+)/.exec(need.name))
    .filter(match => match !== null)
    .map(match => [Number(match[1]), Number(match[2])])
    .reduce((a, b) => (b[0] > a[0] || (b[0] === a[0] && b[1] > a[1]) ? b : a), [0, 0]);
}

/**
 * Makes the need for `version`, and for the one symbol that it stands for, weak: the library then
 * loads where they are missing. Right only for a symbol that is never called there.
 */
export function weaken(elf, version, symbol) {
  const need = versionNeeds(elf).find(entry => entry.name === version);
  if (need === undefined) return false;
  elf.writeUInt16LE(elf.readUInt16LE(need.at + 4) | VER_FLG_WEAK, need.at + 4);
  const symbols = sections(elf).find(section => section.type === SHT_DYNSYM);
  const strings = sections(elf)[symbols.link].offset;
  const SYMBOL_BYTES = 24;
  for (let at = symbols.offset; at < symbols.offset + symbols.size; at += SYMBOL_BYTES) {
    if (text(elf, strings + elf.readUInt32LE(at)) === symbol)
      elf[at + 4] = (elf[at + 4] & 0xf) | (STB_WEAK << 4);
  }
  return true;
}
