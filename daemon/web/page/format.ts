/** Figures for people. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function showBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${UNITS[unit]}`;
}

export function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((part / whole) * 100).toFixed(1)} %`;
}

export function duration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return `${Math.floor(ms / 1000)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** Apart from each other in any order, and readable on light and dark ground. */
const HUES = [212, 28, 150, 275, 345, 190, 55, 100, 310, 240];

const SHADES = [52, 62, 44, 70, 38];

/** Of a tenant; a session of it has a shade of that, its neighbour another. */
export function colourOf(tenant: number, session = 0, opacity = 1): string {
  const hue = HUES[tenant % HUES.length] ?? 0;
  const lightness = SHADES[session % SHADES.length] ?? 52;
  return `hsl(${hue} 65% ${lightness}% / ${opacity * 100}%)`;
}
