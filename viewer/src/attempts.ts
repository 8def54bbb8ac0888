/** What takes time, and what went wrong with it: both are shown, and may be tried again. */
import * as server from './server';
import type { Problem, Store } from './state';
import { texts } from './texts';

export class Attempts {
  constructor(private readonly store: Store) {}

  /**
   * Runs something that takes time, in the place of the note on what was done before; what goes wrong is shown, with a
   * way to try again. `again` says that it may be tried
   * again unasked: it takes nothing from what was drawn meanwhile.
   */
  async make(asked: string, work: () => Promise<unknown>, again = false): Promise<void> {
    this.store.set({ busy: asked, note: '' });
    this.solved(asked);
    const began = Date.now();
    const ticking = window.setInterval(
      () => this.store.set({ busy: `${asked} (${Math.round((Date.now() - began) / 1000)} s)` }),
      1000,
    );
    try {
      await work();
      this.store.set({ away: false });
    } catch (error) {
      this.failed(asked, error, () => this.make(asked, work, again), again);
    } finally {
      window.clearInterval(ticking);
      this.store.set({ busy: '' });
    }
  }

  failed(asked: string, error: unknown, retry: () => Promise<void>, again: boolean): void {
    if (error instanceof server.ServerAway) {
      this.store.set({ away: true });
      this.report({ asked, text: again ? texts.follows(asked) : texts.notDone(asked), retry, again });
    } else {
      this.report({ asked, text: texts.failed(asked, error instanceof Error ? error.message : String(error)), retry });
    }
  }

  report(problem: Problem): void {
    this.solved(problem.asked);
    this.store.set({ problems: [...this.store.state.problems, problem] });
  }

  /** Forgets what went wrong with something. */
  solved(asked: string): void {
    this.store.set({ problems: this.store.state.problems.filter((problem) => problem.asked !== asked) });
  }
}
