/** Who annotates, and for how long: minutes without any key or mouse are not counted. */

const NAME = 'petlesion.name';
const ID = 'petlesion.client';
const STRATEGY = 'petlesion.strategy';
const IDLE_MS = 60_000;

export const storedName = () => localStorage.getItem(NAME) ?? '';
export const storeName = (name: string) => localStorage.setItem(NAME, name);

/** How the next case is chosen: as it was last time. */
export const storedStrategy = () => localStorage.getItem(STRATEGY) ?? '';
export const storeStrategy = (strategy: string) => localStorage.setItem(STRATEGY, strategy);

/** The name, or for those without one an id that this browser keeps. */
export function clientId(name: string): string {
  if (name.trim()) {
    return name.trim();
  }
  const known = localStorage.getItem(ID) ?? `browser-${Math.random().toString(36).slice(2, 8)}`;
  localStorage.setItem(ID, known);
  return known;
}

/** Seconds of work on a case. */
export class Clock {
  /** Of the sittings before this one. */
  earlier = 0;
  private worked = 0;
  private last: number;

  constructor(private readonly now: () => number = () => performance.now()) {
    this.last = this.now();
  }

  /** Something was done: the time since the last thing counts, if it was not a pause. */
  tick = (): void => {
    const now = this.now();
    const passed = now - this.last;
    this.worked += passed > IDLE_MS ? 0 : passed;
    this.last = now;
  };

  /** Whether somebody is at work just now. */
  get working(): boolean {
    return this.now() - this.last <= IDLE_MS;
  }

  get seconds(): number {
    this.tick();
    return Math.round(this.earlier + this.worked / 1000);
  }
}
