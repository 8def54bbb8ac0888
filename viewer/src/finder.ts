/** What the server finds: by a model, by a click, and by the reference that the annotator has placed. */
import type { OpenCase } from './case';
import { MAX_LESIONS, change, count, extent, freeValues, size } from './edits';
import type { Editor } from './editor';
import { toVoxel } from './geometry';
import type { Known, Lesions } from './lesions';
import { type Vector, decode } from './nrrd';
import * as server from './server';
import type { Lesion } from './server';
import { texts } from './texts';
import { isInHand } from './tools';

export class Finder {
  /** Takes the spheres away that are drawn. */
  private undraw = () => {};
  /** Warnings that a Run or a click has told: later clicks do not repeat them. */
  private readonly told = new Set<string>();
  /** The last of the clicks at work, or waiting for the one before; none where none is. */
  private growing?: Promise<void>;

  constructor(
    private readonly open: OpenCase,
    private readonly lesions: Lesions,
    private readonly editor: Editor,
  ) {
    open.onClose(open.viewports.onClick(this.clicked), () => this.undraw());
  }

  private get store() {
    return this.open.store;
  }

  /** Runs a model; what it finds takes the place of what was drawn, for which it asks first. */
  async run(model: string): Promise<void> {
    await this.open.attempts.make(model, async () => {
      const options = this.store.state.options[model] ?? {}; // as they are when it is tried again
      const { edits } = this.lesions;
      if (!this.mayReplace()) {
        return;
      }
      const params = { ...options, ...this.said, instances: true };
      const { label, result } = await this.open.whileOpen(server.infer(model, this.open.image, params));
      if (edits !== this.lesions.edits && !this.mayReplace()) {
        return;
      }
      const lesions = result.lesions.map((lesion) => ({ ...lesion, value: lesion.id }));
      const known = new Map(result.lesions.map((lesion) => [lesion.id, lesion]));
      // More cannot be told apart in the map: the server says what they have become.
      const apart = lesions.length <= MAX_LESIONS;
      await this.load(label, apart ? lesions : undefined, known);
      const said = [texts.found(lesions.length, model), ...(apart ? [] : [texts.asOne]), ...warningsOf(result)];
      warningsOf(result).forEach((warning) => this.told.add(warning));
      this.store.set({ preLabel: model, note: said.join('\n'), endThere: result.threshold_suv !== null });
      this.refer(result.reference);
    });
  }

  private mayReplace(): boolean {
    return this.lesions.empty || window.confirm(texts.replace);
  }

  /** Puts a label of the server, and its lesions where they are known, in the place of what was drawn. */
  async load(file: ArrayBuffer, lesions?: readonly Lesion[], known: Known = new Map()): Promise<void> {
    const [map, label] = await this.open.whileOpen(Promise.all([this.lesions.labelmap(), decode(file)]));
    const { value } = map.reader(label);
    this.store.set({ marked: new Set() });
    this.lesions.edit(
      map,
      change(map, (_, slice, index) => value(slice, index)),
      lesions,
      known,
    );
    this.editor.select(0, false);
    if (!this.lesions.current) {
      await this.lesions.settled();
    }
  }

  private clicked = (world: Vector): void => {
    const { tool, busy } = this.store.state;
    if (!isInHand(tool)) {
      return;
    }
    if (tool === 'click' && (!busy || this.growing)) {
      this.queue(world);
    } else if (tool === 'reference' && !busy) {
      void this.place(world);
    }
  };

  /** Lets a lesion grow once those of the clicks before have: who clicks fast loses none. */
  private queue(world: Vector): void {
    const grown = (this.growing ?? Promise.resolve()).then(async () => {
      await this.click(world);
      if (this.growing === grown) {
        this.growing = undefined;
      }
    });
    this.growing = grown;
  }

  /** Grows a lesion at a point, by the server's `click`. */
  async click(world: Vector): Promise<void> {
    const { grid, image, attempts, closed } = this.open;
    if (!grid || closed) {
      return;
    }
    const voxel = toVoxel(grid, world).map(Math.round);
    await attempts.make(texts.tool.click, async () => {
      const options = this.store.state.options.click ?? {};
      const { label, result } = await server.infer('click', image, { ...options, ...this.said, foreground: [voxel] });
      const [map, found] = await this.open.whileOpen(Promise.all([this.lesions.labelmap(), decode(label)]));
      const [free] = freeValues(map);
      if (free === undefined) {
        this.store.set({ note: texts.full });
        return;
      }
      const { value, holds } = map.reader(found);
      const edit = change(map, (old, slice, index) => (old === 0 && value(slice, index) ? free : old), holds);
      if (edit.length === 0) {
        this.store.set({ note: texts.nothingThere });
        return;
      }
      const [grown, more] = result.lesions;
      const whole = grown && !more && size(edit) === count(found.voxels.subarray(...extent(found.voxels)));
      const { current, empty } = this.lesions;
      const lesions = whole ? current && [...current, { ...grown, value: free }] : undefined;
      const known = new Map(this.lesions.knownBut([free]));
      this.lesions.edit(map, edit, lesions, whole ? known.set(free, grown) : known);
      this.editor.select(free, false);
      const fresh = warningsOf(result).filter((warning) => !this.told.has(warning));
      fresh.forEach((warning) => this.told.add(warning));
      const { reference, endThere } = this.store.state;
      const there = result.threshold_suv === reference?.threshold;
      this.store.set({ note: fresh.join('\n'), endThere: there && (endThere || empty) });
    });
  }

  /** Takes normal uptake from a sphere at a point; models and clicks go by it from then on. */
  async place(world: Vector): Promise<void> {
    await this.open.attempts.make(texts.tool.reference, async () => {
      const { image, store } = this.open;
      const asked = server.reference(image, world, store.state.otherTracer);
      const { warnings, ...reference } = await this.open.whileOpen(asked);
      this.refer(reference);
      store.set({ sphere: world, note: [texts.placed, ...warnings].join('\n'), endThere: this.lesions.empty });
    });
    this.refer(this.store.state.reference); // back, where it could not be placed
  }

  /** Lets models and clicks look for the reference again, in the place of the one that the annotator has placed. */
  unplace(): void {
    this.store.set({ sphere: undefined, note: texts.unplaced });
    this.refer();
  }

  /** What the annotator says of the case, and all models go by. */
  private get said(): { liver_sphere_mm?: Vector; tracer?: string } {
    const { otherTracer, sphere } = this.store.state;
    return { ...(sphere && { liver_sphere_mm: sphere }), ...(otherTracer && { tracer: otherTracer }) };
  }

  /** Shows a reference; its spheres can be dragged, though not while something else takes time. */
  private refer(reference?: server.Reference): void {
    if (this.open.closed) {
      return;
    }
    const moved = (center: Vector) => void (this.store.state.busy ? this.refer(reference) : this.place(center));
    this.undraw();
    this.undraw = this.open.viewports.reference(reference?.spheres ?? [], moved);
    this.store.set({ reference });
  }
}

/** What has to be known about a result. */
function warningsOf({ warnings, suv }: server.Measured): string[] {
  return [...new Set([...warnings, ...suv.warnings])];
}
