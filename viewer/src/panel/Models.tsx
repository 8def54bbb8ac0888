/** The models of the server, with their options. */
import type { OptionSpec, OptionValue } from '../server';
import { texts } from '../texts';
import { useCase } from './context';

/** Set by the panel itself, or for all models at once. */
const OWN = new Set(['instances', 'tracer']);
const UNKNOWN = 'unknown';

export function Models() {
  const { state, open, finder } = useCase();
  const { info, model, busy, ready } = state;
  const names = Object.keys(info?.models ?? {}).filter((name) => name !== 'click');
  return (
    <section>
      <h3>{texts.models}</h3>
      <div className="line">
        <select
          aria-label={texts.model}
          title={info?.models[model]?.description}
          value={model}
          onChange={(event) => open.store.set({ model: event.target.value })}
        >
          {names.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <button className="main" disabled={!ready || Boolean(busy) || !model} onClick={() => void finder.run(model)}>
          {texts.run}
        </button>
      </div>
      <Tracer />
      <Options model={model} />
      {state.reference?.threshold != null && (
        <p className="quiet">
          {texts.reference(state.reference.organ, state.reference.mean, state.reference.threshold, state.endThere)}
        </p>
      )}
      {state.sphere && (
        <button title={texts.unplaceHint} disabled={Boolean(busy)} onClick={() => finder.unplace()}>
          {texts.unplace}
        </button>
      )}
    </section>
  );
}

/** The tracer that models go by: as the image says, or the annotator. */
function Tracer() {
  const { state, open } = useCase();
  const { info, model, tracer, otherTracer } = state;
  const names = info?.models[model]?.config.tracer;
  const unknown = (otherTracer || tracer) === UNKNOWN;
  return Array.isArray(names) && tracer ? (
    <label className={unknown ? 'option unknown' : 'option'} title={unknown ? texts.tracerUnknown : undefined}>
      <span>{unknown ? texts.tracerAsk : texts.tracer}</span>
      <select value={otherTracer} onChange={(event) => open.store.set({ otherTracer: event.target.value })}>
        <option value="">{texts.tracerRead(tracer)}</option>
        {names.slice(1).map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  ) : null;
}

/** Options of a model, closed until somebody wants them. */
export function Options({ model }: { model: string }) {
  const { state, open } = useCase();
  const config = state.info?.models[model]?.config ?? {};
  const names = Object.keys(config).filter((name) => !OWN.has(name));
  const set = (name: string, value: OptionValue) => {
    const { options } = open.store.state;
    open.store.set({ options: { ...options, [model]: { ...options[model], [name]: value } } });
  };
  return (
    <details>
      <summary>{texts.options}</summary>
      {names.map((name) => (
        <label key={name} className="option" title={texts.optionHint[name]}>
          <span>{texts.option[name] ?? name}</span>
          <Field spec={config[name]!} value={state.options[model]?.[name]} set={(value) => set(name, value)} />
        </label>
      ))}
    </details>
  );
}

function Field({ spec, value, set }: { spec: OptionSpec; value?: OptionValue; set: (value: OptionValue) => void }) {
  if (Array.isArray(spec)) {
    return (
      <select value={String(value ?? spec[0])} onChange={(event) => set(event.target.value)}>
        {spec.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    );
  }
  if (typeof spec === 'boolean') {
    return <input type="checkbox" checked={Boolean(value ?? spec)} onChange={(event) => set(event.target.checked)} />;
  }
  return <input type="number" step="any" value={String(value ?? spec)} onChange={(event) => set(event.target.value)} />;
}
