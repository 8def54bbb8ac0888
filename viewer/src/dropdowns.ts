/**
 * Drop-downs give the keys back to the page once an option is chosen: with the focus on them, letters and arrows choose
 * options. Those who choose by keys keep it, as each arrow chooses one, until Escape, or Enter in an open list.
 */

const DONE = ['Enter', 'Escape'];

/** Ends when it is called back. */
export function giveKeysBack(): () => void {
  let pointed = false;
  const leave = ({ target }: Event) => {
    if (target instanceof HTMLSelectElement) {
      target.blur();
    }
  };
  const listeners: Record<string, (event: Event) => void> = {
    pointerdown: () => (pointed = true),
    keydown: () => (pointed = false),
    change: (event) => pointed && leave(event),
    // Not as it goes down: an open list closes by it first, and Chromium opens a closed one by Enter, whose end it keeps.
    keyup: (event) => DONE.includes((event as KeyboardEvent).key) && leave(event),
  };
  for (const [name, listener] of Object.entries(listeners)) {
    window.addEventListener(name, listener);
  }
  return () => Object.entries(listeners).forEach(([name, listener]) => window.removeEventListener(name, listener));
}
