/** The panel in OHIF's layout. OHIF shares no React, so that the panel is a root of its own in an element of OHIF's. */
import { createElement } from 'react';
import { type Root, createRoot } from 'react-dom/client';
import { Casework } from '../casework';
import { Editor } from '../editor';
import { keepOpacity } from '../fusion';
import { loadedShare } from '../loading';
import type { Ohif } from '../ohif';
import { choosePet } from '../series';
import { listen } from '../shortcuts';
import { Store } from '../state';
import { texts } from '../texts';
import { Viewports } from '../viewports';
import { LesionsPanel } from './LesionsPanel';
import { style } from './style';

export const PANEL = 'lesions';
const WAIT_MS = 200;

/** A React component without hooks, which OHIF's React renders as well as ours. */
export function lesionsPanel(ohif: Ohif): () => unknown {
  let end: (() => void) | undefined;
  const attach = (element: HTMLElement | null) => {
    end?.();
    end = element ? mount(element, ohif) : undefined;
  };
  return () => createElement('div', { ref: attach, style: { height: '100%' } });
}

function mount(element: HTMLElement, ohif: Ohif): () => void {
  const root: Root = createRoot(element.appendChild(document.createElement('div')));
  const sheet = element.appendChild(document.createElement('style'));
  sheet.textContent = style;
  const { displaySetService } = ohif.servicesManager.services;
  const viewports = new Viewports(ohif);
  const ends: (() => void)[] = [];
  const say = (text: string) => root.render(createElement('p', { className: 'petlesion', role: 'status' }, text));
  say(texts.notLoaded(0));
  // OHIF says when viewports are ready, but only once, and perhaps before this panel is there.
  const waiting = window.setInterval(() => {
    const shown = displaySetService.getActiveDisplaySets() as never[];
    const pet = choosePet(shown);
    // Cornerstone's MIP of a map is a copy of the PET, too: it must be complete.
    const share = pet ? loadedShare(pet) : 0;
    if (!pet || share < 1 || !viewports.shown()) {
      say(pet || shown.length === 0 ? texts.notLoaded(share) : texts.noPet);
      return;
    }
    window.clearInterval(waiting);
    keepOpacity(ohif);
    const editor = new Editor(ohif, new Store(), viewports, pet);
    const casework = new Casework(editor);
    ends.push(() => editor.close(), () => casework.close(), listen(editor, casework));
    root.render(createElement(LesionsPanel, { open: { editor, casework } }));
    void casework.open();
  }, WAIT_MS);
  ends.push(() => window.clearInterval(waiting));
  return () => {
    ends.forEach((each) => each());
    root.unmount();
    element.replaceChildren();
  };
}
