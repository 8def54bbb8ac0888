/** The reference spheres that a threshold came from, drawn where slices of the PET cut them. */
import { cross, dot, minus } from './geometry';
import type { Vector } from './nrrd';
import { type Any, core } from './ohif';
import type { Reference } from './server';

type Sphere = Reference['spheres'][number];
type Canvas = [number, number];
/** Movement up to which a press of the button is a click. */
export const CLICK_PX = 3;
const SVG = 'http://www.w3.org/2000/svg';
/** Black dashes on white, seen on any grey and by everybody; in colour are lesions alone. */
const LINES = [
  { stroke: '#fff', 'stroke-width': 5 },
  { stroke: '#000', 'stroke-width': 2, 'stroke-dasharray': '6 4' },
];

/** Radius in mm of the circle in which a plane cuts a sphere; 0 where it does not. */
export function cut(sphere: Sphere, point: Vector, normal: Vector): number {
  const distance = dot(minus(sphere.center_mm, point), normal);
  return Math.sqrt(Math.max(sphere.radius_mm ** 2 - distance ** 2, 0));
}

/**
 * Draws spheres over a viewport, as it is moved, and says where somebody drags one, as a world point.
 * Ends when it is called back.
 */
export function drawSpheres(viewport: Any, spheres: readonly Sphere[], moved: (center: Vector) => void): () => void {
  const element = viewport.element as HTMLElement;
  const overlay = document.createElementNS(SVG, 'svg');
  overlay.setAttribute('style', 'position:absolute;inset:0;width:100%;height:100%;pointer-events:none');
  overlay.setAttribute('data-cy', 'petlesion-spheres');
  element.append(overlay);
  let held = false;
  const draw = () => {
    if (held) {
      return;
    }
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
        const shown = ring([x, y], Math.hypot(u - x, v - y));
        const hold = (now: boolean) => (held = now);
        dragged(shown, [x, y], hold, (center) => moved([...viewport.canvasToWorld(center)] as Vector));
        return [shown];
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

function ring([cx, cy]: Canvas, r: number): SVGGElement {
  const group = document.createElementNS(SVG, 'g');
  group.setAttribute('style', 'pointer-events:all;cursor:move');
  for (const line of LINES) {
    const circle = document.createElementNS(SVG, 'circle');
    Object.entries({ cx, cy, r, fill: 'none', ...line }).forEach(([name, value]) => circle.setAttribute(name, String(value)));
    group.append(circle);
  }
  return group;
}

/** How far the pointer has gone from one event to another, px. */
export const distance = (from: PointerEvent, to: PointerEvent) => Math.hypot(to.clientX - from.clientX, to.clientY - from.clientY);

/** Lets a ring be dragged; says where its centre is dropped. OHIF's tools hear nothing of it; a click, or another button, is none. */
function dragged(shown: SVGGElement, [x, y]: Canvas, hold: (now: boolean) => void, dropped: (center: Canvas) => void): void {
  let from: PointerEvent | undefined;
  const gone = (event: PointerEvent): Canvas => [event.clientX - from!.clientX, event.clientY - from!.clientY];
  shown.addEventListener('pointerdown', (event) => {
    if (event.button === 0) {
      from = event;
      hold(true);
      shown.setPointerCapture(event.pointerId);
    }
  });
  shown.addEventListener('pointermove', (event) => {
    if (from) {
      shown.setAttribute('transform', `translate(${gone(event).join(' ')})`);
    }
  });
  shown.addEventListener('pointerup', (event) => {
    if (from && distance(from, event) > CLICK_PX) {
      const [across, down] = gone(event);
      dropped([x + across, y + down]);
    }
  });
  shown.addEventListener('lostpointercapture', () => {
    from = undefined;
    hold(false);
  });
  for (const name of ['pointerdown', 'pointermove', 'pointerup', 'mousedown', 'mousemove', 'mouseup'] as const) {
    shown.addEventListener(name, (event) => event.stopPropagation());
  }
}
