/** The case that is open: its PET, what the panel shows of it, and whether it was left meanwhile. */
import { Attempts } from './attempts';
import type { Geometry } from './nrrd';
import type { Any, Ohif } from './ohif';
import type { Store } from './state';
import { shownPerSuv } from './suv';
import { texts } from './texts';
import type { Viewports } from './viewports';

export class OpenCase {
  readonly attempts: Attempts;
  /** On which the server counts the voxels of clicks, once it has read the PET. */
  grid?: Geometry;
  closed = false;
  private ends: (() => void)[] = [];

  constructor(
    readonly ohif: Ohif,
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

  /** Calls back when the case is left. */
  onClose(...ends: (() => void)[]): void {
    this.ends.push(...ends);
  }

  close(): void {
    this.closed = true;
    this.ends.forEach((end) => end());
  }

  /** What takes time, unless the case was left meanwhile: what is shown by then, and undone, is another one's. */
  async whileOpen<T>(work: Promise<T>): Promise<T> {
    const done = await work;
    this.stay();
    return done;
  }

  stay(): void {
    if (this.closed) {
      throw new Error(texts.left);
    }
  }
}
