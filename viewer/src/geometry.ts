/** Points and voxels: where a voxel lies, and which voxel lies at a point. LPS mm throughout. */
import type { Geometry, Vector } from './nrrd';
import { texts } from './texts';

export const dot = (a: Vector, b: Vector) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const minus = (a: Vector, b: Vector): Vector => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const times = (a: Vector, factor: number): Vector => [a[0] * factor, a[1] * factor, a[2] * factor];
export const cross = (a: Vector, b: Vector): Vector => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

/** World point of a voxel (x, y, z). */
export function toWorld({ origin, axes }: Geometry, voxel: Vector): Vector {
  return [0, 1, 2].map((n) =>
    origin[n]! + voxel[0] * axes[0][n]! + voxel[1] * axes[1][n]! + voxel[2] * axes[2][n]!,
  ) as Vector;
}

/** Voxel (x, y, z), with fractions, at a world point. */
export function toVoxel({ origin, axes }: Geometry, world: Vector): Vector {
  const [a, b, c] = axes;
  const offset = minus(world, origin);
  const volume = dot(a, cross(b, c));
  return [dot(offset, cross(b, c)) / volume, dot(offset, cross(c, a)) / volume, dot(offset, cross(a, b)) / volume];
}

/** Image slices as a volume; each slice by the position of its first voxel. */
export interface Plane {
  position: Vector;
  row: Vector;
  column: Vector;
  /** mm from voxel to voxel along a row, and from row to row. */
  spacing: [number, number];
  columns: number;
  rows: number;
}

/** Geometry of slices that lie one behind the other, in the order that makes a right-handed volume. */
export function stack(planes: readonly Plane[]): { geometry: Geometry; order: number[] } {
  const first = planes[0]!;
  const normal = cross(first.row, first.column);
  const heights = planes.map((plane) => dot(plane.position, normal));
  const order = heights.map((_, n) => n).sort((a, b) => heights[a]! - heights[b]!);
  const low = planes[order[0]!]!.position;
  const high = planes[order[order.length - 1]!]!.position;
  const steps = Math.max(planes.length - 1, 1);
  return {
    order,
    geometry: {
      size: [first.columns, first.rows, planes.length],
      origin: low,
      axes: [
        times(first.row, first.spacing[0]),
        times(first.column, first.spacing[1]),
        planes.length > 1 ? times(minus(high, low), 1 / steps) : normal,
      ],
    },
  };
}

/**
 * For each axis of `to`, which axis of `from` it is, and whether reversed; both grids hold the same voxels.
 * Throws an Error where they do not.
 */
export function sameVoxels(from: Geometry, to: Geometry): (x: number, y: number, z: number) => number {
  const [nx, ny] = from.size;
  const strides = [1, nx, nx * ny];
  const base = toVoxel(from, to.origin).map(Math.round) as Vector;
  const steps = to.axes.map((axis) => {
    const unit = toVoxel(from, [from.origin[0] + axis[0], from.origin[1] + axis[1], from.origin[2] + axis[2]]);
    const rounded = unit.map(Math.round);
    if (unit.some((value, n) => Math.abs(value - rounded[n]!) > 0.02)) {
      throw new Error(texts.label.otherGrid);
    }
    return rounded.reduce((sum, value, n) => sum + value * strides[n]!, 0);
  });
  const start = base.reduce((sum, value, n) => sum + value * strides[n]!, 0);
  const last = to.size.map((side) => side - 1) as Vector;
  const corner = toVoxel(from, toWorld(to, last)).map(Math.round);
  if ([...base, ...corner].some((value, n) => value < 0 || value >= from.size[n % 3]!)) {
    throw new Error(texts.label.otherGrid);
  }
  return (x, y, z) => start + x * steps[0]! + y * steps[1]! + z * steps[2]!;
}

/** Between which indices the voxels of a slice lie, by what `sameVoxels` has given. */
export function reach(
  at: (x: number, y: number, z: number) => number,
  { size: [columns, rows] }: Geometry,
  slice: number,
): [lowest: number, highest: number] {
  const corners = [0, columns - 1].flatMap((x) => [0, rows - 1].map((y) => at(x, y, slice)));
  return [Math.min(...corners), Math.max(...corners)];
}
