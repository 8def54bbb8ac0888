/** What annotators do with the lesions of a case: choose, draw, delete, merge, split, number, undo. */
import type { OpenCase } from './case';
import { change, counts, freeValues, relabel, split } from './edits';
import type { Known, Lesions } from './lesions';
import { ordered } from './order';
import type { Lesion } from './server';
import { texts } from './texts';
import { DRAWS, type Tool, activate, brush } from './tools';

export class Editor {
  /** Where in the list the lesion was that was deleted last. */
  private gap = 0;

  constructor(
    private readonly open: OpenCase,
    private readonly lesions: Lesions,
  ) {}

  private get store() {
    return this.open.store;
  }

  /** Deletes lesions. None is chosen then, as none but the deleted one is shown: the keys go on from its place. */
  remove(values: readonly number[]): void {
    const { lesions, order } = this.store.state;
    const stays = (lesion: Lesion) => !values.includes(lesion.value);
    this.gap = Math.max(ordered(lesions, order).findIndex((lesion) => !stays(lesion)), 0);
    const gone = new Map(values.map((value) => [value, 0]));
    this.rewrite(gone, this.lesions.current?.filter(stays), this.lesions.knownBut(values));
    this.select(0, false);
  }

  /** Deletes the chosen lesion; all marked ones where it is one of them, or none is chosen. */
  removeChosen(): void {
    const { marked, active } = this.store.state;
    const values = this.lesions.has(active) && !marked.has(active) ? [active] : [...marked];
    if (values.length) {
      this.remove(values);
    }
  }

  /** Empties the map, also of what is not listed yet. */
  clear(): void {
    const { map } = this.lesions;
    if (map) {
      this.lesions.edit(map, change(map, () => 0), [], new Map());
      this.select(0, false);
    }
  }

  /** What a model says of the parts, such as its probability, holds of none for the whole. */
  merge(values: readonly number[]): void {
    const [first, ...others] = values;
    if (first !== undefined && others.length) {
      this.rewrite(new Map(others.map((value) => [value, first])), undefined, this.lesions.knownBut(values));
      this.store.set({ marked: new Set() });
      this.select(first, false);
    }
  }

  split(value: number): void {
    const { map } = this.lesions;
    if (map) {
      const edit = split(map, value);
      this.store.set({ note: edit.length ? '' : texts.nothingToSplit });
      if (edit.length) {
        this.lesions.edit(map, edit, undefined, this.lesions.knownBut(freeValues(map)));
      }
    }
  }

  /** Numbers the lesions by volume, those that are not listed yet as well: the largest is 1. */
  renumber(): void {
    const { map } = this.lesions;
    const sizes = map ? [...counts(map)] : [];
    const bySize = [...sizes.keys()].filter((value) => value && sizes[value]).sort((a, b) => sizes[b]! - sizes[a]!);
    const values = new Map(bySize.map((value, n) => [value, n + 1]));
    const known = [...this.lesions.known].filter(([old]) => values.has(old));
    this.rewrite(values, undefined, new Map(known.map(([old, each]) => [values.get(old)!, each])));
    this.store.set({ marked: new Set() });
    this.select(values.get(this.store.state.active) ?? 0, false);
  }

  private rewrite(values: ReadonlyMap<number, number>, lesions?: readonly Lesion[], known?: Known): void {
    const { map } = this.lesions;
    if (map) {
      this.lesions.edit(map, relabel(map, values), lesions, known);
    }
  }

  undo(): void {
    this.restore('undo');
  }

  redo(): void {
    this.restore('redo');
  }

  private restore(way: 'undo' | 'redo'): void {
    const { active } = this.store.state;
    this.lesions.restore(way);
    if (this.store.state.active !== active) {
      this.aim();
    }
  }

  /** What is painted next becomes a lesion of its own. */
  fresh(): void {
    const { map } = this.lesions;
    if (map) {
      const [free] = freeValues(map);
      this.store.set({ note: free === undefined ? texts.full : '' });
      if (free !== undefined) {
        this.lesions.know(this.lesions.knownBut([free]));
        this.select(free, false);
      }
    }
  }

  /** Chooses a lesion, and shows it in all viewports. */
  select(value: number, jump = true): void {
    this.store.set({ active: value });
    this.aim();
    const { map } = this.lesions;
    const lesion = this.store.state.lesions.find((each) => each.value === value);
    if (jump && lesion && map) {
      this.open.viewports.jump(map.nearest(value, lesion.centroid_mm));
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
      this.lesions.map?.activate(active);
    } else if (DRAWS.includes(tool)) {
      this.fresh();
    }
  }

  brush(radius: number, fromSuv: number): void {
    this.store.set({ radius, fromSuv });
    brush(radius, fromSuv, this.store.state.perSuv);
  }
}
