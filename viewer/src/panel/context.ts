/** The case that is open, and what is done with it, for all parts of the panel. */
import { createContext, useContext, useSyncExternalStore } from 'react';
import type { OpenCase } from '../case';
import type { Casework } from '../casework';
import type { Editor } from '../editor';
import type { Finder } from '../finder';
import type { State } from '../state';

export interface Case {
  open: OpenCase;
  editor: Editor;
  finder: Finder;
  casework: Casework;
}
export const CaseContext = createContext<Case | undefined>(undefined);

export function useCase(): Case & { state: State } {
  const parts = useContext(CaseContext);
  if (!parts) {
    throw new Error('no case is open');
  }
  const { store } = parts.open;
  return { ...parts, state: useSyncExternalStore(store.subscribe, () => store.state) };
}
