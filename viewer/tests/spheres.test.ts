import { afterEach, expect, it, vi } from 'vitest';
import { COLOURS } from '../src/labelmap';
import { cut, drawSpheres } from '../src/spheres';

it('a sphere is cut in a circle, or not at all', () => {
  const sphere = { center_mm: [10, 20, 30] as [number, number, number], radius_mm: 15 };
  expect(cut(sphere, [0, 0, 30], [0, 0, 1])).toBe(15);
  expect(cut(sphere, [0, 0, 42], [0, 0, -1])).toBe(9);
  expect(cut(sphere, [0, 0, 46], [0, 0, 1])).toBe(0);
});

/** What is used of an element. */
class Shape extends EventTarget {
  children: Shape[] = [];
  append = (child: Shape) => void this.children.push(child);
  replaceChildren = (...children: Shape[]) => void (this.children = children);
  attributes: Record<string, string> = {};
  setAttribute = (name: string, value: string) => void (this.attributes[name] = value);
  setPointerCapture() {}
}

const SPHERE = { center_mm: [10, 20, 28] as [number, number, number], radius_mm: 15 };

function drawn(moved = vi.fn()): Shape {
  vi.stubGlobal('document', { createElementNS: () => new Shape() });
  vi.stubGlobal('window', { cornerstone: { Enums: { Events: {} } } });
  const element = new Shape();
  const viewport = {
    element,
    getCamera: () => ({ viewPlaneNormal: [0, 0, 1], viewUp: [0, 1, 0], focalPoint: [0, 0, 30] }),
    worldToCanvas: ([x, y]: number[]) => [x, y],
    canvasToWorld: ([x, y]: number[]) => [x, y, 30],
  };
  drawSpheres(viewport, [SPHERE], moved);
  return element.children[0]!.children[0]!;
}

afterEach(() => vi.unstubAllGlobals());

it('a sphere has no colour of a lesion', () => {
  const hex = COLOURS.map((colour) => `#${colour.map((value) => value.toString(16).padStart(2, '0')).join('')}`);
  const strokes = drawn().children.map(({ attributes }) => attributes.stroke);
  expect(strokes).toHaveLength(2);
  strokes.forEach((stroke) => expect(hex).not.toContain(stroke));
});

it('a sphere is moved where it is dragged, and stays where it is only clicked, or another button zooms', () => {
  const moved = vi.fn();
  const ring = drawn(moved);
  const press = (name: string, clientX: number, button = 0) =>
    ring.dispatchEvent(Object.assign(new Event(name), { clientX, clientY: 0, pointerId: 1, button }));
  press('pointerdown', 5);
  press('pointerup', 7);
  press('lostpointercapture', 7);
  press('pointerdown', 5, 2);
  press('pointerup', 25, 2);
  expect(moved).not.toHaveBeenCalled();
  press('pointerdown', 5);
  press('pointermove', 15);
  expect(ring.attributes.transform).toBe('translate(10 0)');
  press('pointerup', 25);
  expect(moved.mock.calls).toEqual([[[30, 20, 30]]]);
});
