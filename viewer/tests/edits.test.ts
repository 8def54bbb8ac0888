import { describe, expect, it } from 'vitest';
import { type Map3, apply, change, checksum, components, extent, freeValues, relabel, split } from '../src/edits';

/** Two slices of 4 × 3 voxels. */
function map(...slices: number[][]): Map3 {
  return { slices: slices.map((slice) => Uint8Array.from(slice)), columns: 4, rows: 3 };
}
const voxels = (each: Map3) => each.slices.map((slice) => [...slice]);

const drawn = () => map([1, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);

describe('an edit', () => {
  it('deletes and merges, and is taken back as it was', () => {
    const each = drawn();
    const before = voxels(each);
    const edit = relabel(each, new Map([[1, 0], [2, 3]]));
    apply(each, edit);
    expect(voxels(each)).toEqual([
      [0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]);
    apply(each, edit, false);
    expect(voxels(each)).toEqual(before);
  });

  it('holds only what changes', () => {
    expect(change(drawn(), (old) => old)).toEqual([]);
    expect(relabel(drawn(), new Map([[2, 0]]))).toHaveLength(1);
  });

  it('leaves slices alone that it need not look at', () => {
    expect(change(drawn(), () => 5, (slice) => slice === 1).map(({ slice }) => slice)).toEqual([1]);
  });

  it('lies between the first and the last voxel of a label', () => {
    expect(extent([0, 0, 3, 0, 1, 0])).toEqual([2, 5]);
    expect(extent([2])).toEqual([0, 1]);
    expect(extent([0, 0])).toEqual([2, 2]);
  });
});

describe('a lesion in parts', () => {
  it('is split into them, and the largest keeps its number', () => {
    const each = drawn();
    apply(each, split(each, 1));
    expect(voxels(each)).toEqual([
      [1, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0],
    ]);
  });

  it('is in one piece where corners touch, also across slices', () => {
    const each = map([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect(components(each, 1)).toHaveLength(1);
    expect(split(each, 1)).toEqual([]);
  });

  it('is not joined across the edge of a row', () => {
    expect(components(map([0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]), 1)).toHaveLength(2);
  });

  it('is not joined from the last row to the first, of its slice or the next', () => {
    const [first, last] = [[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]];
    expect(components(map(last, first), 1)).toHaveLength(2);
    expect(components(map([0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]), 1)).toHaveLength(2);
  });
});

it('the values that are free begin with the lowest', () => {
  expect(freeValues(drawn()).slice(0, 2)).toEqual([3, 4]);
});

it('a state of the map is told from another, also where as many voxels are lesion', () => {
  const [first, second] = [drawn(), drawn()];
  expect(checksum(first)).toBe(checksum(second));
  [second.slices[0]![0], second.slices[0]![2]] = [0, 1];
  expect(checksum(first)).not.toBe(checksum(second));
  const oddOnes = [[0, 1, 2], [0, 2, 1]].map((slice) => checksum(map(slice)));
  expect(new Set(oddOnes).size).toBe(2);
  const within = Uint8Array.from({ length: 9 }, (_, n) => n).subarray(1); // as of a volume in one piece
  expect(checksum({ ...first, slices: [within] })).not.toBe(checksum({ ...first, slices: [within.slice().reverse()] }));
});
