/** The panel in OHIF's layout. OHIF shares no React, so that the panel is a root of its own in an element of OHIF's. */
import { createElement } from 'react';
import { type Root, createRoot } from 'react-dom/client';
import { chosenPet, forgetPet } from '../arrival';
import { OpenCase } from '../case';
import { Casework } from '../casework';
import { giveKeysBack } from '../dropdowns';
import { Editor } from '../editor';
import { Finder } from '../finder';
import { Lesions } from '../lesions';
import type { Ohif } from '../ohif';
import { choosePet } from '../series';
import { listen } from '../shortcuts';
import { Store } from '../state';
import { watchWindow } from '../suv';
import { texts } from '../texts';
import { Viewports } from '../viewports';
import { LesionsPanel } from './LesionsPanel';
import type { Case } from './context';
import { style } from './style';

export const PANEL = 'lesions';
const WAIT_MS = 200;

/** The case that is open, from its first sight until the mode is left: the panel itself goes whenever it is folded. */
export class LesionsHost {
  private begun?: Case & { end: () => void };
  private unmount?: () => void;

  constructor(private readonly ohif: Ohif) {}

  /** A React component without hooks, which OHIF's React renders as well as ours. It leaves OHIF's title its place, and scrolls. */
  readonly component = (): unknown => createElement('div', { ref: this.attach, style: { height: '100%', minHeight: 0 } });

  /** Ends work on the case. */
  leave(): void {
    this.begun?.end();
    this.begun = undefined;
    forgetPet();
  }

  private attach = (element: HTMLElement | null): void => {
    this.unmount?.();
    this.unmount = element ? this.mount(element) : undefined;
  };

  private mount(element: HTMLElement): () => void {
    const frame = element.appendChild(document.createElement('div'));
    frame.style.height = '100%';
    const root: Root = createRoot(frame);
    const sheet = element.appendChild(document.createElement('style'));
    sheet.textContent = style;
    const show = (): boolean => {
      const said = this.begun ? undefined : this.begin();
      root.render(
        this.begun
          ? createElement(LesionsPanel, { parts: this.begun })
          : createElement('p', { className: 'petlesion', role: 'status' }, said),
      );
      return Boolean(this.begun);
    };
    // OHIF says when viewports are ready, but only once, and perhaps before this panel is there.
    const waiting = window.setInterval(() => show() && window.clearInterval(waiting), WAIT_MS);
    show();
    return () => {
      window.clearInterval(waiting);
      root.unmount();
      element.replaceChildren();
    };
  }

  /** Opens the case once its PET is shown; says what it waits for. */
  private begin(): string {
    const shown = this.ohif.servicesManager.services.displaySetService.getActiveDisplaySets() as never[];
    const viewports = new Viewports(this.ohif);
    const pet = choosePet(shown, chosenPet());
    if (!pet || !viewports.shown()) {
      return pet || shown.length === 0 ? texts.notLoaded(0) : texts.noPet;
    }
    const open = new OpenCase(this.ohif, new Store(), viewports, pet);
    const lesions = new Lesions(open);
    const editor = new Editor(open, lesions);
    const finder = new Finder(open, lesions, editor);
    const casework = new Casework(open, lesions, editor, finder);
    const ends = [
      viewports.keepWindow(pet),
      watchWindow(open),
      listen(open, editor, casework),
      giveKeysBack(),
      () => open.close(),
      () => void casework.close(),
    ];
    this.begun = { open, editor, finder, casework, end: () => ends.forEach((end) => end()) };
    void casework.begin();
    return '';
  }
}
