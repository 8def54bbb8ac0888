/** The lesions with their numbers, and the totals. */
import { useEffect, useRef } from 'react';
import { colourOf } from '../labelmap';
import { type Column, VALUES, ordered } from '../order';
import type { Lesion } from '../server';
import { texts } from '../texts';
import { useCase } from './context';

/** Of this tracer, uptake is glycolysis. */
const FDG = 'f18-fdg';
const COLUMNS = Object.keys(VALUES) as Column[];

export function LesionList() {
  const { state, open, editor } = useCase();
  const { lesions, order, measuring, active, marked } = state;
  const fdg = (state.otherTracer || state.tracer) === FDG;
  const chosen = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    chosen.current?.scrollIntoView({ block: 'nearest' });
  }, [active]);
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
    open.store.set({ marked: next });
  };
  const sort = (column: Column) => {
    const down = order.column === column ? !order.down : column !== 'number';
    open.store.set({ order: { column, down } });
  };
  return (
    <section className="list">
      <p className="totals" data-cy="petlesion-totals" aria-busy={measuring} title={texts.totalsHint(fdg)}>
        {lesions.length ? totalsOf(lesions, fdg) : texts.none}
        {measuring && <span className="quiet"> {texts.measuring}</span>}
      </p>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th />
              {shown.map((column) => (
                <th key={column} aria-sort={order.column === column ? (order.down ? 'descending' : 'ascending') : 'none'}>
                  <button title={texts.columnHint[column]} onClick={() => sort(column)}>
                    {texts.columns[column]}
                    {order.column === column ? (order.down ? ' ▾' : ' ▴') : ''}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {ordered(lesions, order).map((lesion) => (
              <tr
                key={lesion.value}
                ref={lesion.value === active ? chosen : undefined}
                className={lesion.value === active ? 'active' : ''}
                aria-current={lesion.value === active}
                onClick={() => editor.select(lesion.value)}
              >
                <td>
                  <input
                    type="checkbox"
                    aria-label={`${texts.tick} ${lesion.value}`}
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

/** Number, volume (mL) and uptake (mL × SUV) of all lesions. */
export function totalsOf(lesions: readonly Lesion[], fdg: boolean): string {
  const sum = (value: (lesion: Lesion) => number) => lesions.reduce((total, lesion) => total + value(lesion), 0);
  const volume = sum((lesion) => lesion.volume_ml);
  return texts.totals(lesions.length, volume, sum((lesion) => lesion.volume_ml * lesion.suv_mean), fdg);
}

function shownAs(column: Column, value: number | string): string {
  if (typeof value === 'string' || column === 'number') {
    return String(value);
  }
  return column === 'confidence' ? (value < 0 ? '' : value.toFixed(2)) : value.toFixed(value < 10 ? 2 : 1);
}
