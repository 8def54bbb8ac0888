/** The lesions of a case: the map that holds them, and the list that follows each change of it. */
import type { OpenCase } from './case';
import { type Edit, checksum, counts } from './edits';
import { Labelmap } from './labelmap';
import { allLoaded } from './loading';
import { core } from './ohif';
import * as server from './server';
import type { Lesion, LesionRecord } from './server';
import { texts } from './texts';

/** What a model says of its lesions, by value; measuring does not tell it. */
export type Known = ReadonlyMap<number, Pick<Lesion, 'location' | 'confidence'>>;

/** Quiet time after a stroke before it is measured. */
const SETTLE_MS = 120;

export class Lesions {
  map?: Labelmap;
  private making?: Promise<Labelmap>;
  private timer = 0;
  /** How often the map has changed. */
  edits = 0;
  /** Checksum of the map, and after which change the list was right. */
  private sum = 0;
  private listed = 0;
  known: Known = new Map();
  /** What was known of earlier states of the map, by checksum: undo of a stroke brings back voxels alone. */
  private knownThen = new Map<number, Known>();

  constructor(private readonly open: OpenCase) {
    open.onClose(() => {
      window.clearTimeout(this.timer);
      this.forgetChanges();
    });
  }

  private get store() {
    return this.open.store;
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
    const { ohif, pet } = this.open;
    await allLoaded(pet, (loaded) => {
      this.store.set({ loaded });
      this.open.stay();
    });
    const map = await this.open.whileOpen(Labelmap.create(ohif, pet));
    this.map = map;
    this.sum = checksum(map);
    const say = ({ message }: Error) => this.open.attempts.report({ asked: texts.panel, text: message });
    const shown = this.open.viewports.onMade(({ id }) => void map.display(id).catch(say));
    this.open.onClose(shown, map.projectWhole(), map.onDrawn(this.drawn));
    return map;
  }

  /** Lets undo go no further back than to here: cornerstone would go on with the case before. */
  forgetChanges(): void {
    const history = core().utilities.HistoryMemo.DefaultHistoryMemo;
    history.size = history.size;
    this.knownThen = new Map([[this.sum, this.known]]);
  }

  /** The numbers may be those of other lesions afterwards. */
  restore(way: 'undo' | 'redo'): void {
    this.store.set({ marked: new Set() });
    core().utilities.HistoryMemo.DefaultHistoryMemo[way]();
    this.drawn();
    this.known = this.knownThen.get(this.sum) ?? this.known;
  }

  /**
   * Makes a change. Where the lesions after it are listed, as they are when it is undone, no server is asked. Undo brings
   * back with the numbers which of them was chosen, and which model they are from.
   */
  edit(map: Labelmap, edit: Edit, lesions?: readonly Lesion[], known = this.known): void {
    const { active, preLabel } = this.store.state;
    let here = { lesions: this.current, known: this.known, active, preLabel };
    let there = { lesions, known, active, preLabel };
    if (edit.length) {
      map.change(edit, () => {
        const { active, preLabel } = this.store.state;
        [here, there] = [there, { ...here, active, preLabel }];
        this.store.set({ active: here.active, preLabel: here.preLabel });
        this.changed(here.lesions);
        this.know(here.known);
      });
    } else {
      this.know(known);
    }
  }

  /** Takes this for known of the map as it is now. */
  know(known: Known): void {
    this.known = known;
    this.knownThen.set(this.sum, known);
  }

  /** What is known, but of values that go to other lesions. */
  knownBut(values: readonly number[]): Known {
    return new Map([...this.known].filter(([value]) => !values.includes(value)));
  }

  /** One of OHIF's tools has drawn; it says so as well where no voxel has changed. */
  private drawn = (): void => {
    const sum = this.map ? checksum(this.map) : this.sum;
    if (sum === this.sum) {
      return;
    }
    this.changed(undefined, sum);
    this.knownThen.set(this.sum, this.knownThen.get(this.sum) ?? this.known);
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      this.forgetGone();
      this.map?.show();
      void this.settled();
    }, SETTLE_MS);
  };

  /** Forgets what is known of lesions that a stroke has erased entirely: what takes their number is another one. */
  private forgetGone(): void {
    const count = this.map ? counts(this.map) : [];
    this.know(new Map([...this.known].filter(([value]) => count[value])));
  }

  private changed(lesions?: readonly Lesion[], sum = this.map ? checksum(this.map) : 0): void {
    this.edits++;
    this.sum = sum;
    this.store.set({ unsaved: true });
    window.clearTimeout(this.timer);
    if (lesions) {
      this.list(lesions);
    } else {
      this.store.set({ measuring: true });
      this.timer = window.setTimeout(() => void this.settled(), SETTLE_MS);
    }
  }

  /** The lesions of the map as it is now, unless they are still to be measured. */
  get current(): readonly Lesion[] | undefined {
    return this.listed === this.edits ? this.store.state.lesions : undefined;
  }

  /** Shows the lesions of the map as it is now. */
  private list(lesions: readonly Lesion[]): void {
    this.listed = this.edits;
    const values = new Set(lesions.map((lesion) => lesion.value));
    const marked = new Set([...this.store.state.marked].filter((value) => values.has(value)));
    this.store.set({ lesions, marked, measuring: false });
  }

  /** Measures the map; what comes of it is of no account where the map has changed again by then. */
  async settled(): Promise<void> {
    window.clearTimeout(this.timer);
    const { map, edits } = this;
    if (!map) {
      return;
    }
    this.store.set({ measuring: true });
    try {
      const { lesions } = await server.measure(this.open.image, await map.encode());
      if (edits === this.edits) {
        this.measured(lesions);
      }
    } catch (error) {
      if (edits === this.edits) {
        this.store.set({ measuring: false });
        this.open.attempts.failed(texts.measure, error, () => this.settled(), true);
      }
    }
  }

  private measured(records: readonly LesionRecord[]): void {
    const lesions = records.map((lesion): Lesion => {
      const value = lesion.value ?? lesion.id;
      const before = this.known.get(value);
      const { location = lesion.location, confidence = lesion.confidence } = before ?? {};
      return { ...lesion, value, location, confidence };
    });
    this.list(lesions);
    this.store.set({ away: false });
    this.open.attempts.solved(texts.measure);
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
