import { expect, it } from 'vitest';
import { cut } from '../src/spheres';

it('a sphere is cut in a circle, or not at all', () => {
  const sphere = { center_mm: [10, 20, 30] as [number, number, number], radius_mm: 15 };
  expect(cut(sphere, [0, 0, 30], [0, 0, 1])).toBe(15);
  expect(cut(sphere, [0, 0, 42], [0, 0, -1])).toBe(9);
  expect(cut(sphere, [0, 0, 46], [0, 0, 1])).toBe(0);
});
