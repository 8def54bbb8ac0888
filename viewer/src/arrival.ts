/** What "Next case" hands over to the page that it opens: which PET of the study, and why this case. */
import type { NextCase } from './server';

const PET = 'petlesion.pet';
const REASON = 'petlesion.reason';

export function goTo({ id = '', study_uid = '', reason = '' }: NextCase): void {
  sessionStorage.setItem(PET, id);
  sessionStorage.setItem(REASON, reason);
  window.location.assign(`/pet-lesions?StudyInstanceUIDs=${encodeURIComponent(study_uid)}`);
}

/** Series of the case that was chosen, also when the page is loaded again. */
export const chosenPet = (): string | null => sessionStorage.getItem(PET);

/** Lets the studies that are opened from the list show the PET that they show otherwise. */
export const forgetPet = (): void => sessionStorage.removeItem(PET);

/** Why the case was chosen; told once. */
export function takeReason(): string | null {
  const reason = sessionStorage.getItem(REASON);
  sessionStorage.removeItem(REASON);
  return reason;
}
