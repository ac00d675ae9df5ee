/// <reference lib="dom" />
/** The device's memory as a field of cells, each owner's together, in the order of the sessions. */
export interface Owner {
  readonly name: string;
  readonly bytes: number;
  /** Null: free. */
  readonly colour: string | null;
}

const CELL = 6;
const GAP = 1;

/** One cell stands for the same share of the pool, whoever has it: the field does not jump. */
export function drawMap(
  canvas: HTMLCanvasElement,
  owners: readonly Owner[],
  poolBytes: number,
): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const scale = window.devicePixelRatio;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context.scale(scale, scale);
  const rows = Math.max(1, Math.floor(height / (CELL + GAP)));
  const columns = Math.max(1, Math.floor(width / (CELL + GAP)));
  const free = getComputedStyle(canvas).getPropertyValue('--free');
  let first = 0;
  let bytesBefore = 0;
  for (const { bytes, colour } of owners) {
    bytesBefore += bytes;
    const end = Math.round((bytesBefore / poolBytes) * rows * columns);
    context.fillStyle = colour ?? free;
    for (let cell = first; cell < end; cell++) {
      const [column, row] = [Math.floor(cell / rows), cell % rows];
      context.fillRect(column * (CELL + GAP), row * (CELL + GAP), CELL, CELL);
    }
    first = end;
  }
}
