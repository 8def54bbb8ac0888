/** What annotators do with the lesions of a case: find, add, delete, merge, split, and see their numbers. */
import { Attempts } from './attempts';
import { type Edit, MAX_LESIONS, change, checksum, count, counts, extent, freeValues, relabel, size, split } from './edits';
import { toVoxel } from './geometry';
import { Labelmap, encodeEmpty } from './labelmap';
import { allLoaded } from './loading';
import { type Geometry, type Vector, decode } from './nrrd';
import { type Any, type Ohif, core, shownPerSuv } from './ohif';
import { ordered } from './order';
import { chooseCt, windowOfTracer } from './series';
import * as server from './server';
import type { Lesion } from './server';
import type { Store } from './state';
import { texts } from './texts';
import { DRAWS, type Tool, activate, brush, isInHand } from './tools';
import type { Viewports } from './viewports';

/** What a model says of its lesions, by value; measuring does not tell it. */
type Known = ReadonlyMap<number, Pick<Lesion, 'location' | 'confidence'>>;

/** Quiet time after a stroke before it is measured. */
const SETTLE_MS = 120;

export class Editor {
  private map?: Labelmap;
  private making?: Promise<Labelmap>;
  private grid?: Geometry;
  private timer = 0;
  /** How often the map has changed. */
  edits = 0;
  /** Checksum of the map, and after which change the list was right. */
  private sum = 0;
  private listed = 0;
  /** Centre of the reference sphere that the annotator has placed. */
  private sphere?: Vector;
  private known: Known = new Map();
  /** Where in the list the lesion was that was deleted last. */
  private gap = 0;
  private closed = false;
  readonly attempts: Attempts;
  private ends: (() => void)[] = [];

  constructor(
    private readonly ohif: Ohif,
    readonly store: Store,
    readonly viewports: Viewports,
    readonly pet: Any,
  ) {
    this.attempts = new Attempts(store);
    store.set({ perSuv: shownPerSuv(pet) });
  }

  get image(): string {
    return this.pet.SeriesInstanceUID;
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
    this.ends.forEach((end) => end());
    this.forgetChanges();
  }

  /** What takes time, unless the case was left meanwhile: what is shown by then, and undone, is another one's. */
  private async whileOpen<T>(work: Promise<T>): Promise<T> {
    const done = await work;
    this.stay();
    return done;
  }

  private stay(): void {
    if (this.closed) {
      throw new Error(texts.left);
    }
  }

  /** The map, made when it is first needed. */
  labelmap(): Promise<Labelmap> {
    this.making ??= this.make().catch((error) => {
      this.making = undefined;
      throw error;
    });
    return this.making;
  }

  /** Cornerstone's MIP of a map is a copy of the PET, too: it must be complete. */
  private async make(): Promise<Labelmap> {
    await allLoaded(this.pet, (loaded) => {
      this.store.set({ loaded });
      this.stay();
    });
    const map = await this.whileOpen(Labelmap.create(this.ohif, this.pet));
    this.map = map;
    this.sum = checksum(map);
    this.ends.push(map.projectWhole(), map.onDrawn(this.drawn), this.viewports.onClick(this.clicked));
    return map;
  }

  /** Lets undo go no further back than to here: cornerstone would go on with the case before. */
  forgetChanges(): void {
    const history = core().utilities.HistoryMemo.DefaultHistoryMemo;
    history.size = history.size;
  }

  /** Lets the server read the PET while the browser does, so that the first click is not the one that waits for it. */
  async open(): Promise<void> {
    const read = server.measure(this.image, await encodeEmpty(this.pet));
    const [{ grid, suv }] = await this.whileOpen(Promise.all([read, this.labelmap()]));
    this.grid = clicksOn(grid);
    this.goBy(suv.factor);
    void this.watchCt();
  }

  /** Goes by the server's SUV, where OHIF shows another one or none. */
  private goBy(factor: number | null): void {
    const perSuv = shownPerSuv(this.pet, factor);
    this.store.set({ perSuv });
    if (perSuv !== 1) {
      this.preset(this.store.state.preset || windowOfTracer(this.pet));
    } else if (factor === null) {
      this.attempts.report({ asked: 'SUV', text: texts.suvNotCompared });
    }
  }

  /** Shows the PET from 0 to an SUV. */
  preset(upper: number): void {
    const { perSuv } = this.store.state;
    if (perSuv) {
      this.viewports.preset(this.pet, upper * perSuv);
      this.store.set({ preset: upper });
    }
  }

  /** Says where images of the CT are missing. Nobody has to wait for it: lesions are drawn on the PET. */
  private async watchCt(): Promise<void> {
    const ct = chooseCt<Any>(this.ohif.servicesManager.services.displaySetService.getActiveDisplaySets(), this.pet);
    if (ct) {
      const say = ({ message }: Error) => this.attempts.report({ asked: 'CT', text: message });
      await allLoaded(ct, () => this.stay()).catch(say);
    }
  }

  /** Runs a model; what it finds takes the place of what was drawn, for which it asks first. */
  async run(model: string): Promise<void> {
    const options = this.store.state.options[model] ?? {};
    await this.attempts.make(model, async () => {
      const { edits } = this;
      if (!this.mayReplace()) {
        return;
      }
      const params = { ...options, ...this.placed, instances: true };
      const { label, result } = await this.whileOpen(server.infer(model, this.image, params));
      if (edits !== this.edits && !this.mayReplace()) {
        return;
      }
      const lesions = result.lesions.map((lesion) => ({ ...lesion, value: lesion.id }));
      const known = new Map(result.lesions.map((lesion) => [lesion.id, lesion]));
      // More cannot be told apart in the map: the server says what they have become.
      await this.load(label, lesions.length <= MAX_LESIONS ? lesions : undefined, known);
      this.store.set({ preLabel: model, note: [texts.found(result.lesions.length, model), ...result.warnings].join(' ') });
      this.refer(result.reference);
    });
  }

  private mayReplace(): boolean {
    return this.empty || window.confirm(texts.replace);
  }

  /** Takes normal uptake from a sphere at a point; models and clicks go by it from then on. */
  async place(world: Vector): Promise<void> {
    await this.attempts.make(texts.tool.reference, async () => {
      this.refer(await this.whileOpen(server.reference(this.image, world)));
      this.sphere = world;
      this.store.set({ note: texts.placed });
    });
    this.refer(this.store.state.reference); // back, where it could not be placed
  }

  private get placed(): { liver_sphere_mm?: Vector } {
    return this.sphere ? { liver_sphere_mm: this.sphere } : {};
  }

  /** Shows a reference; its spheres can be dragged, though not while something else takes time. */
  private refer(reference?: server.Reference): void {
    if (this.closed) {
      return;
    }
    const moved = (center: Vector) => void (this.store.state.busy ? this.refer(reference) : this.place(center));
    this.viewports.reference(reference?.spheres ?? [], moved);
    this.store.set({ reference });
  }

  /** Puts a label of the server, and its lesions where they are known, in the place of what was drawn. */
  async load(file: ArrayBuffer, lesions?: readonly Lesion[], known: Known = new Map()): Promise<void> {
    const [map, label] = await this.whileOpen(Promise.all([this.labelmap(), decode(file)]));
    const { value } = map.reader(label);
    this.store.set({ marked: new Set() });
    this.edit(
      map,
      change(map, (_, slice, index) => value(slice, index)),
      lesions,
      known,
    );
    this.select(0, false);
    if (!this.current) {
      await this.settled();
    }
  }

  private clicked = (world: Vector): void => {
    const { tool, busy } = this.store.state;
    if (busy || !isInHand(tool)) {
      return;
    }
    if (tool === 'click') {
      void this.click(world);
    } else if (tool === 'reference') {
      void this.place(world);
    }
  };

  /** Grows a lesion at a point, by the server's `click`. */
  async click(world: Vector): Promise<void> {
    if (!this.grid) {
      return;
    }
    const voxel = toVoxel(this.grid, world).map(Math.round);
    const options = this.store.state.options.click ?? {};
    await this.attempts.make(texts.tool.click, async () => {
      const { label, result } = await server.infer('click', this.image, { ...options, ...this.placed, foreground: [voxel] });
      const [map, found] = await this.whileOpen(Promise.all([this.labelmap(), decode(label)]));
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
      const lesions = whole ? this.current && [...this.current, { ...grown, value: free }] : undefined;
      const known = new Map(this.knownBut([free]));
      this.edit(map, edit, lesions, whole ? known.set(free, grown) : known);
      this.select(free, false);
    });
  }

  /** Deletes lesions. None is chosen then, as none but the deleted one is shown: the keys go on from its place. */
  remove(values: readonly number[]): void {
    const { lesions, order } = this.store.state;
    const stays = (lesion: Lesion) => !values.includes(lesion.value);
    this.gap = Math.max(ordered(lesions, order).findIndex((lesion) => !stays(lesion)), 0);
    this.rewrite(new Map(values.map((value) => [value, 0])), this.current?.filter(stays), this.knownBut(values));
    this.select(0, false);
  }

  /** Empties the map, also of what is not listed yet. */
  clear(): void {
    if (this.map) {
      this.edit(this.map, change(this.map, () => 0), [], new Map());
      this.select(0, false);
    }
  }

  merge(values: readonly number[]): void {
    const [first, ...others] = values;
    if (first !== undefined && others.length) {
      this.rewrite(new Map(others.map((value) => [value, first])));
      this.store.set({ marked: new Set() });
      this.select(first, false);
    }
  }

  split(value: number): void {
    if (this.map) {
      const edit = split(this.map, value);
      this.store.set({ note: edit.length ? '' : texts.nothingToSplit });
      if (edit.length) {
        this.edit(this.map, edit, undefined, this.knownBut(freeValues(this.map)));
      }
    }
  }

  /** Numbers the lesions by volume, those that are not listed yet as well: the largest is 1. */
  renumber(): void {
    const sizes = this.map ? [...counts(this.map)] : [];
    const bySize = [...sizes.keys()].filter((value) => value && sizes[value]).sort((a, b) => sizes[b]! - sizes[a]!);
    const values = new Map(bySize.map((value, n) => [value, n + 1]));
    const known = [...this.known].flatMap(([old, each]) => (values.has(old) ? [[values.get(old)!, each] as const] : []));
    this.rewrite(values, undefined, new Map(known));
    this.store.set({ marked: new Set() });
    this.select(values.get(this.store.state.active) ?? 0, false);
  }

  /** What is painted next becomes a lesion of its own. */
  fresh(): void {
    if (this.map) {
      const [free] = freeValues(this.map);
      this.store.set({ note: free === undefined ? texts.full : '' });
      if (free !== undefined) {
        this.known = this.knownBut([free]);
        this.select(free, false);
      }
    }
  }

  /** Chooses a lesion, and shows it in all viewports. */
  select(value: number, jump = true): void {
    this.store.set({ active: value });
    this.aim();
    const lesion = this.store.state.lesions.find((each) => each.value === value);
    if (jump && lesion && this.map) {
      this.viewports.jump(this.map.nearest(value, lesion.centroid_mm));
    }
  }

  /** Chooses the next lesion of the list, or the one before. */
  step(by: number): void {
    const { lesions, order, active } = this.store.state;
    const listed = ordered(lesions, order);
    if (listed.length) {
      const at = listed.findIndex((lesion) => lesion.value === active);
      const from = at >= 0 ? at : this.gap - (by > 0 ? 1 : 0);
      this.select(listed[(from + by + listed.length) % listed.length]!.value);
    }
  }

  use(tool: Tool): void {
    const { radius, fromSuv } = this.store.state;
    activate(tool);
    this.brush(radius, fromSuv);
    this.store.set({ tool });
    this.aim();
  }

  /** Lets a tool that draws draw the chosen lesion, or else a new one. Only then: all viewports are drawn again for it. */
  private aim(): void {
    const { active, tool } = this.store.state;
    if (active && DRAWS.includes(tool)) {
      this.map?.activate(active);
    } else if (DRAWS.includes(tool)) {
      this.fresh();
    }
  }

  brush(radius: number, fromSuv: number): void {
    this.store.set({ radius, fromSuv });
    brush(radius, fromSuv, this.store.state.perSuv);
  }

  undo(): void {
    this.restore('undo');
  }

  redo(): void {
    this.restore('redo');
  }

  /** The numbers may be those of other lesions afterwards. */
  private restore(way: 'undo' | 'redo'): void {
    this.store.set({ marked: new Set() });
    core().utilities.HistoryMemo.DefaultHistoryMemo[way]();
    this.drawn();
  }

  private rewrite(values: ReadonlyMap<number, number>, lesions?: readonly Lesion[], known?: Known): void {
    if (this.map) {
      this.edit(this.map, relabel(this.map, values), lesions, known);
    }
  }

  /** Makes a change. Where the lesions after it are listed, as they are when it is undone, no server is asked. */
  private edit(map: Labelmap, edit: Edit, lesions?: readonly Lesion[], known = this.known): void {
    const [after, before] = [{ lesions, known }, { lesions: this.current, known: this.known }];
    this.known = known;
    if (edit.length) {
      map.change(edit, (forward) => {
        const state = forward ? after : before;
        this.known = state.known;
        this.changed(state.lesions);
      });
    }
  }

  /** What is known, but of values that go to other lesions. */
  private knownBut(values: readonly number[]): Known {
    return new Map([...this.known].filter(([value]) => !values.includes(value)));
  }

  /** One of OHIF's tools has drawn; it says so as well where no voxel has changed. */
  private drawn = (): void => {
    if (!this.map || checksum(this.map) === this.sum) {
      return;
    }
    this.changed();
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      this.map?.show();
      void this.settled();
    }, SETTLE_MS);
  };

  private changed = (lesions?: readonly Lesion[]): void => {
    this.edits++;
    this.sum = this.map ? checksum(this.map) : 0;
    this.store.set({ unsaved: true });
    window.clearTimeout(this.timer);
    if (lesions) {
      this.list(lesions);
    } else {
      this.store.set({ measuring: true });
      this.timer = window.setTimeout(() => void this.settled(), SETTLE_MS);
    }
  };

  /** The lesions of the map as it is now, unless they are still to be measured. */
  private get current(): readonly Lesion[] | undefined {
    return this.listed === this.edits ? this.store.state.lesions : undefined;
  }

  /** Shows the lesions of the map as it is now. */
  private list(lesions: readonly Lesion[]): void {
    this.listed = this.edits;
    const values = new Set(lesions.map((lesion) => lesion.value));
    const marked = new Set([...this.store.state.marked].filter((value) => values.has(value)));
    this.store.set({ lesions, marked, measuring: false });
  }

  /** Measures the map, unless it has changed again by then. */
  async settled(): Promise<void> {
    window.clearTimeout(this.timer);
    if (this.map) {
      try {
        await this.measure(this.map);
      } catch (error) {
        this.attempts.failed(texts.measure, error, () => this.settled(), true);
      }
    }
  }

  private async measure(map: Labelmap): Promise<void> {
    const state = this.edits;
    this.store.set({ measuring: true });
    const measured = await server.measure(this.image, await map.encode()).catch((error) => {
      this.store.set({ measuring: false });
      throw error;
    });
    if (state !== this.edits) {
      return;
    }
    this.grid = clicksOn(measured.grid);
    const lesions = measured.lesions.map((lesion): Lesion => {
      const value = lesion.value ?? lesion.id;
      const before = this.known.get(value);
      const { location = lesion.location, confidence = lesion.confidence } = before ?? {};
      return { ...lesion, value, location, confidence };
    });
    this.list(lesions);
    this.store.set({ away: false });
    this.attempts.solved(texts.measure);
  }

  /** Whether any voxel is of this lesion, listed or not. */
  has(value: number): boolean {
    return value > 0 && Boolean(this.map?.slices.some((voxels) => voxels.includes(value)));
  }

  /** Whether any voxel is lesion. */
  get empty(): boolean {
    return !this.map || counts(this.map).every((count, value) => value === 0 || count === 0);
  }
}

/** The server's grid, whose affine takes (z, y, x), as one of (x, y, z). */
function clicksOn(grid: server.Measured['grid']): Geometry | undefined {
  if (!grid) {
    return undefined;
  }
  const column = (n: number) => [0, 1, 2].map((row) => grid.affine[row]![n]!) as Vector;
  const [nz, ny, nx] = grid.shape;
  return { size: [nx, ny, nz], origin: column(3), axes: [column(2), column(1), column(0)] };
}
