/** Label maps as NRRD files, the format of the annotation server: one byte or two a voxel, x fastest. */
import { MAX_LESIONS } from './edits';
import { texts } from './texts';

/** Where voxel (x, y, z) lies: origin + x·axes[0] + y·axes[1] + z·axes[2], LPS mm. */
export interface Geometry {
  size: [number, number, number];
  origin: Vector;
  axes: [Vector, Vector, Vector];
}
export type Vector = [number, number, number];
export interface LabelImage extends Geometry {
  voxels: Uint8Array;
}

const text = (vector: Vector) => `(${vector.join(',')})`;

/** A gzip-compressed NRRD file. */
export async function encode(image: Geometry, slices: readonly Uint8Array[]): Promise<Blob> {
  const header = [
    'NRRD0004',
    'type: uint8',
    'dimension: 3',
    'space: left-posterior-superior',
    `sizes: ${image.size.join(' ')}`,
    `space directions: ${image.axes.map(text).join(' ')}`,
    'kinds: domain domain domain',
    'encoding: gzip',
    `space origin: ${text(image.origin)}`,
    '',
    '',
  ].join('\n');
  const packed = new Blob([...slices] as BlobPart[]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Blob([header, await new Response(packed).arrayBuffer()]);
}

/** Reads a file of the server; throws an Error that says what is wrong with it. */
export async function decode(file: ArrayBuffer): Promise<LabelImage> {
  const bytes = new Uint8Array(file);
  const end = endOfHeader(bytes);
  const fields = new Map<string, string>();
  for (const line of new TextDecoder().decode(bytes.subarray(0, end)).split(/\r?\n/)) {
    const [key, value] = line.split(/:=?\s*/, 2) as [string, string?];
    if (value !== undefined) {
      fields.set(key, value);
    }
  }
  const size = (fields.get('sizes') ?? '').split(' ').map(Number) as [number, number, number];
  const axes = (fields.get('space directions') ?? '').match(/\([^)]*\)/g)?.map(vector) as Geometry['axes'];
  const origin = vector(fields.get('space origin') ?? '');
  if (size.length !== 3 || axes?.length !== 3 || fields.get('space') !== 'left-posterior-superior') {
    throw new Error(texts.label.noGeometry);
  }
  const data = await inflate(bytes.subarray(end), fields.get('encoding') ?? 'raw');
  const wide = /16|short/.test(fields.get('type') ?? '');
  const voxels = wide ? narrowed(new Uint16Array(data)) : new Uint8Array(data);
  if (voxels.length !== size[0] * size[1] * size[2]) {
    throw new Error(texts.label.otherSize(voxels.length, size.join(' × ')));
  }
  return { size, axes, origin, voxels };
}

/** The same values in one byte each, as the map holds them. */
function narrowed(values: Uint16Array): Uint8Array {
  const most = values.reduce((most, value) => Math.max(most, value), 0);
  if (most > MAX_LESIONS) {
    throw new Error(texts.label.tooLarge(most, MAX_LESIONS));
  }
  return Uint8Array.from(values);
}

function endOfHeader(bytes: Uint8Array): number {
  const limit = Math.min(bytes.length, 10_000);
  for (let i = 1; i < limit; i++) {
    if (bytes[i] === 10 && (bytes[i - 1] === 10 || (bytes[i - 1] === 13 && bytes[i - 2] === 10))) {
      return i + 1;
    }
  }
  throw new Error(texts.label.noNrrd);
}

async function inflate(bytes: Uint8Array, encoding: string): Promise<ArrayBuffer> {
  const copy = bytes.slice().buffer as ArrayBuffer;
  if (encoding === 'raw') {
    return copy;
  }
  return new Response(new Blob([copy]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

function vector(value: string): Vector {
  return value.replace(/[()\s]/g, '').split(',').map(Number) as Vector;
}
