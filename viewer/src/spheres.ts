/** The reference spheres that a threshold came from, drawn where slices of the PET cut them. */
import { cross, dot, minus } from './geometry';
import type { Vector } from './nrrd';
import { type Any, core } from './ohif';
import type { Reference } from './server';

type Sphere = Reference['spheres'][number];
const SVG = 'http://www.w3.org/2000/svg';

/** Radius in mm of the circle in which a plane cuts a sphere; 0 where it does not. */
export function cut(sphere: Sphere, point: Vector, normal: Vector): number {
  const distance = dot(minus(sphere.center_mm, point), normal);
  return Math.sqrt(Math.max(sphere.radius_mm ** 2 - distance ** 2, 0));
}

/** Draws spheres over a viewport, as it is moved; ends when it is called back. */
export function drawSpheres(viewport: Any, spheres: readonly Sphere[]): () => void {
  const element = viewport.element as HTMLElement;
  const overlay = document.createElementNS(SVG, 'svg');
  overlay.setAttribute('style', 'position:absolute;inset:0;width:100%;height:100%;pointer-events:none');
  overlay.setAttribute('data-cy', 'petlesion-spheres');
  element.append(overlay);
  const draw = () => {
    const { viewPlaneNormal, viewUp, focalPoint } = viewport.getCamera();
    const right = cross(viewUp, viewPlaneNormal);
    overlay.replaceChildren(
      ...spheres.flatMap((sphere) => {
        const radius = cut(sphere, focalPoint, viewPlaneNormal);
        if (radius === 0) {
          return [];
        }
        const [x, y] = viewport.worldToCanvas(sphere.center_mm);
        const edge = sphere.center_mm.map((value, n) => value + radius * right[n]!);
        const [u, v] = viewport.worldToCanvas(edge);
        const circle = document.createElementNS(SVG, 'circle');
        const shape = { cx: x, cy: y, r: Math.hypot(u - x, v - y), fill: 'none', stroke: '#0072b2', 'stroke-width': 2 };
        Object.entries(shape).forEach(([name, value]) => circle.setAttribute(name, String(value)));
        return [circle];
      }),
    );
  };
  const name = core().Enums.Events.IMAGE_RENDERED;
  element.addEventListener(name, draw);
  draw();
  return () => {
    element.removeEventListener(name, draw);
    overlay.remove();
  };
}
