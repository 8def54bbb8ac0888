import { describe, expect, it } from 'vitest';
import { reach, sameVoxels, stack, toVoxel, toWorld } from '../src/geometry';
import { type Geometry, type Vector, decode, encode } from '../src/nrrd';

const plane = (z: number) => ({
  position: [-10, 5, z] as Vector,
  row: [1, 0, 0] as Vector,
  column: [0, 1, 0] as Vector,
  spacing: [2, 3] as [number, number],
  columns: 4,
  rows: 3,
});

describe('slices as a volume', () => {
  it('lie from foot to head, whichever way they are listed', () => {
    for (const heights of [[20, 24, 28], [28, 24, 20]]) {
      const { geometry, order } = stack(heights.map(plane));
      expect(order.map((n) => heights[n])).toEqual([20, 24, 28]);
      expect(geometry).toEqual({ size: [4, 3, 3], origin: [-10, 5, 20], axes: [[2, 0, 0], [0, 3, 0], [0, 0, 4]] });
    }
  });

  it('find the voxel of a point', () => {
    const { geometry } = stack([20, 24, 28].map(plane));
    expect(toWorld(geometry, [1, 2, 2])).toEqual([-8, 11, 28]);
    expect(toVoxel(geometry, [-8, 11, 28])).toEqual([1, 2, 2]);
  });
});

describe('a label of the server', () => {
  const own = stack([20, 24, 28].map(plane)).geometry;
  const reversed: Geometry = { size: own.size, origin: [-4, 5, 28], axes: [[-2, 0, 0], [0, 3, 0], [0, 0, -4]] };

  it('is read by where its voxels lie, not by their order', () => {
    const at = sameVoxels(reversed, own);
    expect(at(3, 0, 2)).toBe(0);
    expect(at(0, 0, 0)).toBe(3 + 2 * 12);
  });

  it('lies for each of our slices between two of its indices', () => {
    for (const from of [own, reversed]) {
      const at = sameVoxels(from, own);
      for (const slice of [0, 1, 2]) {
        const indices = Array.from({ length: 12 }, (_, index) => at(index % 4, Math.floor(index / 4), slice));
        expect(reach(at, own, slice)).toEqual([Math.min(...indices), Math.max(...indices)]);
      }
    }
  });

  it('is refused on another grid', () => {
    expect(() => sameVoxels({ ...own, axes: [[1, 0, 0], [0, 3, 0], [0, 0, 4]] }, own)).toThrow('another grid');
    expect(() => sameVoxels({ ...own, origin: [-10, 5, 24] }, own)).toThrow('another grid');
  });

  it('is what was written', async () => {
    const slices = [0, 1, 2].map((n) => Uint8Array.from({ length: 12 }, (_, index) => (index * n) % 5));
    const read = await decode(await (await encode(own, slices)).arrayBuffer());
    expect({ size: read.size, origin: read.origin, axes: read.axes }).toEqual(own);
    expect([...read.voxels]).toEqual(slices.flatMap((slice) => [...slice]));
  });

  it('is read in two bytes a voxel, and refused where a number does not fit the one byte of the map', async () => {
    const [header] = (await (await encode(own, [])).text()).split('\n\n');
    const wide = header!.replace('uint8', 'uint16').replace('gzip', 'raw');
    const read = async (value: number) =>
      decode(await new Blob([`${wide}\n\n`, new Uint16Array(36).fill(value)]).arrayBuffer());
    expect((await read(255)).voxels).toEqual(new Uint8Array(36).fill(255));
    await expect(read(256)).rejects.toThrow('number 256');
  });

  it('is refused where it is no label', async () => {
    await expect(decode(new TextEncoder().encode('{"detail": "no"}').buffer as ArrayBuffer)).rejects.toThrow('no NRRD');
  });
});
