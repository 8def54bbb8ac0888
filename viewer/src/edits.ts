/** Changes of a label map, as plain arrays: each can be undone. 0 is background, 1 to 255 are lesions. */

/** A label map: slices of `columns` × `rows` voxels. */
export interface Map3 {
  slices: readonly Uint8Array[];
  columns: number;
  rows: number;
}
/** What changed in a slice. */
interface SliceEdit {
  slice: number;
  indices: Uint32Array;
  before: Uint8Array;
  after: Uint8Array;
}
export type Edit = readonly SliceEdit[];
export const MAX_LESIONS = 255;

/** The edit that gives each voxel the value `value(old, slice, index)`; slices not `within` stay as they are. */
export function change(
  map: Map3,
  value: (old: number, slice: number, index: number) => number,
  within: (slice: number) => boolean = () => true,
): Edit {
  const edit: SliceEdit[] = [];
  map.slices.forEach((voxels, slice) => {
    if (!within(slice)) {
      return;
    }
    const indices: number[] = [];
    const before: number[] = [];
    const after: number[] = [];
    for (let index = 0; index < voxels.length; index++) {
      const old = voxels[index]!;
      const next = value(old, slice, index);
      if (next !== old) {
        indices.push(index);
        before.push(old);
        after.push(next);
      }
    }
    if (indices.length) {
      edit.push({
        slice,
        indices: Uint32Array.from(indices),
        before: Uint8Array.from(before),
        after: Uint8Array.from(after),
      });
    }
  });
  return edit;
}

/** Voxels that an edit changes. */
export const size = (edit: Edit): number => edit.reduce((sum, { indices }) => sum + indices.length, 0);

/** The part of a label from its first voxel that is not background to behind its last. */
export function extent(voxels: ArrayLike<number>): [first: number, end: number] {
  let [first, end] = [0, voxels.length];
  while (first < end && !voxels[first]) {
    first++;
  }
  while (first < end && !voxels[end - 1]) {
    end--;
  }
  return [first, end];
}

/** Voxels of a label that are not background. */
export const count = (voxels: ArrayLike<number>): number => {
  let found = 0;
  for (let index = 0; index < voxels.length; index++) {
    found += voxels[index] ? 1 : 0;
  }
  return found;
};

/** Writes an edit into the map, or takes it back. */
export function apply(map: Map3, edit: Edit, forward = true): void {
  for (const { slice, indices, before, after } of edit) {
    const voxels = map.slices[slice]!;
    const values = forward ? after : before;
    indices.forEach((index, n) => {
      voxels[index] = values[n]!;
    });
  }
}

/** Gives lesions other values: 0 deletes, the value of another lesion merges. */
export function relabel(map: Map3, values: ReadonlyMap<number, number>): Edit {
  const table = Uint8Array.from({ length: 256 }, (_, old) => values.get(old) ?? old);
  return change(map, (old) => table[old]!);
}

/** Voxels of each value. */
export function counts(map: Map3): Uint32Array {
  const count = new Uint32Array(256);
  for (const voxels of map.slices) {
    for (let index = 0; index < voxels.length; index++) {
      count[voxels[index]!]!++;
    }
  }
  return count;
}

/** A number that tells one state of the map from another. Each move of a brush asks for it: by four voxels at a time. */
export function checksum(map: Map3): number {
  let sum = 0;
  for (const voxels of map.slices) {
    const { buffer, byteOffset, length } = voxels;
    const values = (byteOffset | length) % 4 ? voxels : new Uint32Array(buffer, byteOffset, length / 4);
    for (let index = 0; index < values.length; index++) {
      sum = (Math.imul(sum, 31) + values[index]!) | 0;
    }
  }
  return sum;
}

/** The lowest values that no lesion has. */
export function freeValues(map: Map3): number[] {
  const count = counts(map);
  return Array.from({ length: MAX_LESIONS }, (_, n) => n + 1).filter((value) => !count[value]);
}

/** Gives the parts of a lesion that do not touch, not even at a corner, values of their own; the largest keeps its. */
export function split(map: Map3, lesion: number): Edit {
  const parts = components(map, lesion).sort((a, b) => b.length - a.length);
  const free = freeValues(map);
  const values = new Map<number, number>();
  const size = map.columns * map.rows;
  parts.slice(1).forEach((part, n) => part.forEach((voxel) => values.set(voxel, free[n] ?? lesion)));
  return change(map, (old, slice, index) => (old === lesion ? (values.get(slice * size + index) ?? old) : old));
}

/** Connected parts (26 neighbours) of a lesion, as indices over all slices. */
export function components({ slices, columns, rows }: Map3, lesion: number): number[][] {
  const size = columns * rows;
  const left = new Set<number>();
  slices.forEach((voxels, slice) => {
    for (let index = voxels.indexOf(lesion); index >= 0; index = voxels.indexOf(lesion, index + 1)) {
      left.add(slice * size + index);
    }
  });
  const parts: number[][] = [];
  for (const seed of left) {
    left.delete(seed);
    const part = [seed];
    for (let n = 0; n < part.length; n++) {
      const voxel = part[n]!;
      const [x, y] = [voxel % columns, Math.floor(voxel / columns) % rows];
      for (let dy = y > 0 ? -1 : 0; dy <= 1 && y + dy < rows; dy++) {
        for (let dx = x > 0 ? -1 : 0; dx <= 1 && x + dx < columns; dx++) {
          for (let dz = -1; dz <= 1; dz++) {
            const next = voxel + dz * size + dy * columns + dx;
            if (left.delete(next)) {
              part.push(next);
            }
          }
        }
      }
    }
    parts.push(part);
  }
  return parts;
}
