/** The panel in OHIF's layout. OHIF shares no React, so that the panel is a root of its own in an element of OHIF's. */
import { createElement } from 'react';
import { type Root, createRoot } from 'react-dom/client';
import { chosenPet, forgetPet } from '../arrival';
import { Casework } from '../casework';
import { Editor } from '../editor';
import { keepOpacity } from '../fusion';
import type { Ohif } from '../ohif';
import { choosePet } from '../series';
import { listen } from '../shortcuts';
import { Store } from '../state';
import { texts } from '../texts';
import { Viewports } from '../viewports';
import { LesionsPanel } from './LesionsPanel';
import type { Case } from './context';
import { style } from './style';

export const PANEL = 'lesions';
const WAIT_MS = 200;

/** The case that is open, from its first sight until the mode is left: the panel itself goes whenever it is folded. */
export class LesionsHost {
  private open?: Case & { end: () => void };
  private unmount?: () => void;

  constructor(private readonly ohif: Ohif) {}

  /** A React component without hooks, which OHIF's React renders as well as ours. */
  readonly component = (): unknown => createElement('div', { ref: this.attach, style: { height: '100%' } });

  /** Ends work on the case. */
  leave(): void {
    this.open?.end();
    this.open = undefined;
    forgetPet();
  }

  private attach = (element: HTMLElement | null): void => {
    this.unmount?.();
    this.unmount = element ? this.mount(element) : undefined;
  };

  private mount(element: HTMLElement): () => void {
    const root: Root = createRoot(element.appendChild(document.createElement('div')));
    const sheet = element.appendChild(document.createElement('style'));
    sheet.textContent = style;
    const show = (): boolean => {
      const said = this.open ? undefined : this.begin();
      root.render(
        this.open
          ? createElement(LesionsPanel, { open: this.open })
          : createElement('p', { className: 'petlesion', role: 'status' }, said),
      );
      return Boolean(this.open);
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
    keepOpacity(this.ohif);
    const editor = new Editor(this.ohif, new Store(), viewports, pet);
    const casework = new Casework(editor);
    const ends = [listen(editor, casework), () => editor.close(), () => void casework.close()];
    this.open = { editor, casework, end: () => ends.forEach((end) => end()) };
    void casework.open();
    return '';
  }
}
