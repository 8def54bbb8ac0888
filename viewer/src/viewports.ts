/** What the viewports show: where, in which window, and how much of the PET over the CT. */
import type { Vector } from './nrrd';
import { type Any, core, type Ohif } from './ohif';
import { MIP, PET_VIEWPORTS, FUSED_VIEWPORTS } from './protocol';
import type { Reference } from './server';
import { CLICK_PX, distance, drawSpheres } from './spheres';

/** From the making of a viewport to OHIF's last word on its window. */
const REMADE_MS = 200;

export const PRESETS = [5, 10, 15, 30] as const;

/** A window, in what OHIF shows. */
export interface VoiRange {
  lower: number;
  upper: number;
}

export class Viewports {
  constructor(private readonly ohif: Ohif) {}

  private viewport(id: string): Any {
    return this.ohif.servicesManager.services.cornerstoneViewportService.getCornerstoneViewport(id);
  }

  private all(): Any[] {
    const { viewports } = this.ohif.servicesManager.services.viewportGridService.getState();
    return [...viewports.keys()].map((id: string) => this.viewport(id)).filter(Boolean);
  }

  /** Shows a point in all slices. */
  jump(world: Vector): void {
    for (const viewport of this.all()) {
      if (viewport.id !== MIP && viewport.jumpToWorld) {
        viewport.jumpToWorld(world);
        viewport.render();
      }
    }
  }

  /** Window of the PET from 0 to a value; the fused images follow. */
  preset(pet: Any, upper: number): void {
    for (const id of [...PET_VIEWPORTS, MIP, ...FUSED_VIEWPORTS]) {
      const viewport = this.viewport(id);
      const volumeId = this.volumeOf(viewport, pet);
      if (volumeId) {
        viewport.setProperties({ voiRange: { lower: 0, upper } }, volumeId);
        viewport.render();
      }
    }
  }

  /** Lets fused viewports that OHIF makes anew have the window of the PET. Ends when it is called back. */
  keepWindow(pet: Any): () => void {
    let timer = 0;
    const follow = () => {
      const { voiRange } = this.viewport(PET_VIEWPORTS[0]!)?.getProperties() ?? {};
      for (const id of FUSED_VIEWPORTS) {
        const viewport = this.viewport(id);
        const volumeId = this.volumeOf(viewport, pet);
        if (volumeId && voiRange) {
          viewport.setProperties({ voiRange }, volumeId);
          viewport.render();
        }
      }
    };
    const made = this.onMade(() => {
      window.clearTimeout(timer);
      timer = window.setTimeout(follow, REMADE_MS);
    });
    return () => {
      made();
      window.clearTimeout(timer);
    };
  }

  /** Calls back with the window of the PET, now and whenever somebody changes it. Ends when it is called back. */
  onWindow(changed: (voiRange: VoiRange) => void): () => void {
    return this.onEach(
      (id) => PET_VIEWPORTS.includes(id),
      (viewport) => {
        const { element } = viewport;
        const { VOI_MODIFIED } = core().Enums.Events;
        const hear = () => {
          const { voiRange } = viewport.getProperties();
          if (voiRange) {
            changed(voiRange);
          }
        };
        hear();
        element.addEventListener(VOI_MODIFIED, hear);
        return () => element.removeEventListener(VOI_MODIFIED, hear);
      },
    );
  }

  /** How much of the PET lies over the CT, 0 to 1. */
  opacity(pet: Any, value: number): void {
    for (const id of FUSED_VIEWPORTS) {
      const viewport = this.viewport(id);
      const volumeId = this.volumeOf(viewport, pet);
      if (volumeId) {
        const { colormap } = viewport.getProperties(volumeId);
        viewport.setProperties({ colormap: { ...colormap, opacity: value } }, volumeId);
        viewport.render();
      }
    }
  }

  /** Calls back with the world point of each click into slices; a drag is none. Ends when it is called back. */
  onClick(clicked: (world: Vector) => void): () => void {
    return this.onEach(
      (id) => id !== MIP,
      (viewport) => listen(viewport, clicked),
    );
  }

  /** Draws the reference spheres over the slices of the PET; they can be dragged. Ends when it is called back. */
  reference(spheres: Reference['spheres'], moved: (center: Vector) => void): () => void {
    return this.onEach(
      (id) => PET_VIEWPORTS.includes(id),
      (viewport) => drawSpheres(viewport, spheres, moved),
    );
  }

  /**
   * Adds something to viewports, also to those that OHIF makes anew, as it does for another layout. Ends, as what was
   * added does, when it is called back.
   */
  private onEach(wanted: (id: string) => boolean, add: (viewport: Any) => () => void): () => void {
    const ends = new Map<string, () => void>();
    const renew = (viewport: Any) => {
      ends.get(viewport.id)?.();
      ends.delete(viewport.id);
      if (wanted(viewport.id)) {
        ends.set(viewport.id, add(viewport));
      }
    };
    this.all().forEach(renew);
    const end = this.onMade(renew);
    return () => {
      end();
      ends.forEach((each) => each());
    };
  }

  /** Calls back with each viewport that OHIF makes anew, once it shows something. Ends when it is called back. */
  onMade(made: (viewport: Any) => void): () => void {
    const service = this.ohif.servicesManager.services.cornerstoneViewportService;
    const { VIEWPORT_DATA_CHANGED } = service.EVENTS;
    const { unsubscribe } = service.subscribe(VIEWPORT_DATA_CHANGED, ({ viewportId }: { viewportId: string }) => {
      const viewport = this.viewport(viewportId);
      if (viewport) {
        made(viewport);
      }
    });
    return unsubscribe;
  }

  private volumeOf(viewport: Any, pet: Any): string | undefined {
    const ids: string[] = viewport?.getAllVolumeIds?.() ?? [];
    return ids.find((id) => id.includes(pet.displaySetInstanceUID));
  }

  /** Whether each viewport shows something. */
  shown(): boolean {
    const { viewports } = this.ohif.servicesManager.services.viewportGridService.getState();
    const all = this.all();
    return all.length > 0 && all.length === viewports.size && all.every((viewport) => viewport.getActors().length > 0);
  }
}

/** Calls back with the world point of each click into a viewport. Ends when it is called back. */
function listen(viewport: Any, clicked: (world: Vector) => void): () => void {
  const element = viewport.element as HTMLElement;
  let down: PointerEvent | undefined;
  const press = (event: PointerEvent) => {
    down = event.button === 0 ? event : undefined;
  };
  const release = (event: PointerEvent) => {
    if (down && distance(down, event) <= CLICK_PX) {
      const { left, top } = element.getBoundingClientRect();
      clicked([...viewport.canvasToWorld([event.clientX - left, event.clientY - top])] as Vector);
    }
    down = undefined;
  };
  element.addEventListener('pointerdown', press, { capture: true });
  element.addEventListener('pointerup', release, { capture: true });
  return () => {
    element.removeEventListener('pointerdown', press, { capture: true });
    element.removeEventListener('pointerup', release, { capture: true });
  };
}
