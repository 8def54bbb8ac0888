/** The order of the lesions in the list, in which the keys go through them. */
import type { Lesion } from './server';
import { texts } from './texts';

export type Column = keyof typeof texts.columns;
export interface Order {
  column: Column;
  down: boolean;
}

/** What a column holds of a lesion. */
export const VALUES: Record<Column, (lesion: Lesion) => number | string> = {
  number: (lesion) => lesion.value,
  volume: (lesion) => lesion.volume_ml,
  suvMax: (lesion) => lesion.suv_max,
  suvMean: (lesion) => lesion.suv_mean,
  suvPeak: (lesion) => lesion.suv_peak,
  location: (lesion) => lesion.location ?? '',
  confidence: (lesion) => lesion.confidence ?? -1,
};

export function ordered(lesions: readonly Lesion[], { column, down }: Order): Lesion[] {
  const value = VALUES[column];
  return [...lesions].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
  });
}
