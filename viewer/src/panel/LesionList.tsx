/** The lesions with their numbers, and the totals. */
import { useState } from 'react';
import { colourOf } from '../labelmap';
import type { Lesion } from '../state';
import { texts } from '../texts';
import { useCase } from './context';

const VALUES: Record<keyof typeof texts.columns, (lesion: Lesion) => number | string> = {
  number: (lesion) => lesion.value,
  volume: (lesion) => lesion.volume_ml,
  suvMax: (lesion) => lesion.suv_max,
  suvMean: (lesion) => lesion.suv_mean,
  suvPeak: (lesion) => lesion.suv_peak,
  location: (lesion) => lesion.location ?? '',
  confidence: (lesion) => lesion.confidence ?? -1,
};
type Column = keyof typeof VALUES;
const COLUMNS = Object.keys(VALUES) as Column[];

export function LesionList() {
  const { state, editor } = useCase();
  const [by, setBy] = useState<{ column: Column; down: boolean }>({ column: 'volume', down: true });
  const { lesions, totals, measuring, active, marked } = state;
  const shown = COLUMNS.filter(
    (column) =>
      (column !== 'location' || lesions.some((lesion) => lesion.location)) &&
      (column !== 'confidence' || lesions.some((lesion) => lesion.confidence !== null)),
  );
  const mark = (value: number) => {
    const next = new Set(marked);
    if (!next.delete(value)) {
      next.add(value);
    }
    editor.store.set({ marked: next });
  };
  return (
    <section className="list">
      <p className="totals" data-cy="petlesion-totals" aria-busy={measuring}>
        {lesions.length ? texts.totals(totals.count, totals.volume, totals.tlu) : texts.none}
        {measuring && <span className="quiet"> {texts.measuring}</span>}
      </p>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th />
              {shown.map((column) => (
                <th key={column} aria-sort={by.column === column ? (by.down ? 'descending' : 'ascending') : 'none'}>
                  <button onClick={() => setBy({ column, down: by.column === column ? !by.down : column !== 'number' })}>
                    {texts.columns[column]}
                    {by.column === column ? (by.down ? ' ▾' : ' ▴') : ''}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sorted(lesions, by.column, by.down).map((lesion) => (
              <tr
                key={lesion.value}
                className={lesion.value === active ? 'active' : ''}
                aria-selected={lesion.value === active}
                onClick={() => editor.select(lesion.value)}
              >
                <td>
                  <input
                    type="checkbox"
                    aria-label={`${texts.merge} ${lesion.value}`}
                    checked={marked.has(lesion.value)}
                    onClick={(event) => event.stopPropagation()}
                    onChange={() => mark(lesion.value)}
                  />
                </td>
                {shown.map((column) => (
                  <td key={column}>
                    {column === 'number' && (
                      <i className="colour" style={{ background: `rgb(${colourOf(lesion.value).join(',')})` }} />
                    )}
                    {shownAs(column, VALUES[column](lesion))}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function sorted(lesions: readonly Lesion[], column: Column, down: boolean): Lesion[] {
  const value = VALUES[column];
  return [...lesions].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
  });
}

function shownAs(column: Column, value: number | string): string {
  if (typeof value === 'string' || column === 'number') {
    return String(value);
  }
  return column === 'confidence' ? (value < 0 ? '' : value.toFixed(2)) : value.toFixed(value < 10 ? 2 : 1);
}
