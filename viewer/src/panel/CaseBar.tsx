/** Saving, submitting, and the next case. */
import { useEffect, useRef } from 'react';
import { texts } from '../texts';
import { useCase } from './context';

export function CaseBar() {
  const { state, open, casework } = useCase();
  const { info, ready, busy, unsaved, stored, comment, name, nameAsked } = state;
  const strategies = Object.keys(info?.strategies ?? {});
  const strategy = strategies.includes(state.strategy) ? state.strategy : (strategies[0] ?? '');
  const idle = ready && !busy;
  const you = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (nameAsked && !name) {
      you.current?.focus();
    }
  }, [nameAsked]);
  return (
    <section>
      <h3>
        {texts.case}
        {unsaved && <span className="mark"> ● {texts.unsavedMark}</span>}
      </h3>
      <div className="line">
        <input
          ref={you}
          className="wide"
          placeholder={texts.you}
          aria-label={texts.you}
          value={name}
          onChange={(event) => casework.rename(event.target.value)}
        />
        <input
          className="wide"
          placeholder={texts.comment}
          aria-label={texts.comment}
          value={comment}
          disabled={!ready}
          maxLength={1000}
          onChange={(event) => open.store.set({ comment: event.target.value, unsaved: true })}
        />
      </div>
      <div className="line wrap">
        <button disabled={!idle} onClick={() => void casework.draft()}>{texts.draft}</button>
        <button className="main" disabled={!idle} onClick={() => void casework.submit()}>{texts.submit}</button>
        <button disabled={!idle} onClick={() => void casework.noLesion()}>{texts.noLesion}</button>
        <button title={texts.reportHint} disabled={!stored || unsaved} onClick={() => casework.report()}>{texts.report}</button>
      </div>
      <div className="line">
        <select aria-label={texts.next} value={strategy} onChange={(event) => casework.prefer(event.target.value)}>
          {strategies.map((each) => (
            <option key={each} title={info?.strategies[each]?.description}>
              {each}
            </option>
          ))}
        </select>
        <button disabled={!strategy || Boolean(busy)} onClick={() => void casework.next(strategy)}>{texts.next}</button>
      </div>
    </section>
  );
}
