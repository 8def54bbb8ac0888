/** The editor of the open case, for all parts of the panel. */
import { createContext, useContext, useSyncExternalStore } from 'react';
import type { Casework } from '../casework';
import type { Editor } from '../editor';
import type { State } from '../state';

export interface Case {
  editor: Editor;
  casework: Casework;
}
export const CaseContext = createContext<Case | undefined>(undefined);

export function useCase(): Case & { state: State } {
  const open = useContext(CaseContext);
  if (!open) {
    throw new Error('no case is open');
  }
  const { store } = open.editor;
  return { ...open, state: useSyncExternalStore(store.subscribe, () => store.state) };
}
