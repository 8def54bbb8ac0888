/** The window of the PET, and how much of it lies over the CT. */
import { preset } from '../suv';
import { texts } from '../texts';
import { PRESETS } from '../viewports';
import { useCase } from './context';

export function View() {
  const { state, open } = useCase();
  const fade = (value: number) => {
    open.viewports.opacity(open.pet, value);
    open.store.set({ opacity: value });
  };
  return (
    <section>
      <h3>{texts.view}</h3>
      <div className="tools">
        {PRESETS.map((upper) => (
          <button
            key={upper}
            disabled={!state.perSuv}
            aria-pressed={state.preset === upper}
            onClick={() => preset(open, upper)}
          >
            {texts.preset(upper)}
          </button>
        ))}
      </div>
      <label className="option">
        <span>{texts.opacity}</span>
        <input
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={state.opacity}
          onChange={(event) => fade(Number(event.target.value))}
        />
      </label>
    </section>
  );
}
