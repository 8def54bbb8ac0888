/** The tools that draw, and what is done with whole lesions. */
import { texts } from '../texts';
import { TOOLS } from '../tools';
import { useCase } from './context';
import { Options } from './Models';

const SIZED = ['brush', 'threshold', 'eraser'];

export function Tools() {
  const { state, editor } = useCase();
  const { tool, radius, fromSuv, perSuv, active, marked, ready, busy } = state;
  return (
    <section>
      <h3>{texts.edit}</h3>
      <div className="tools" role="toolbar" aria-label={texts.edit}>
        {TOOLS.map((name) => (
          <button
            key={name}
            aria-pressed={tool === name}
            title={texts.hint[name]}
            disabled={!ready || (name === 'threshold' && !perSuv)}
            onClick={() => editor.use(name)}
          >
            {texts.tool[name]}
          </button>
        ))}
      </div>
      <p className="quiet">{texts.hint[tool]}</p>
      {tool === 'click' && <Options model="click" />}
      {SIZED.includes(tool) && (
        <label className="option">
          <span>{`${texts.brushSize}: ${2 * radius}`}</span>
          <input
            type="range"
            min={1}
            max={50}
            value={radius}
            onChange={(event) => editor.brush(Number(event.target.value), fromSuv)}
          />
        </label>
      )}
      {tool === 'threshold' && (
        <label className="option">
          <span>{texts.from}</span>
          <input
            type="number"
            step="0.1"
            min={0}
            value={fromSuv}
            onChange={(event) => editor.brush(radius, Number(event.target.value))}
          />
        </label>
      )}
      <div className="line wrap">
        <button disabled={!ready} onClick={() => editor.undo()}>{texts.undo}</button>
        <button disabled={!ready} onClick={() => editor.redo()}>{texts.redo}</button>
        <button disabled={!ready} onClick={() => editor.fresh()}>{texts.fresh}</button>
        <button disabled={!active && !marked.size} onClick={() => editor.removeChosen()}>{texts.remove}</button>
        <button disabled={marked.size < 2} onClick={() => editor.merge([...marked])}>{texts.merge}</button>
        <button disabled={!active || Boolean(busy)} onClick={() => editor.split(active)}>{texts.split}</button>
        <button disabled={!state.lesions.length} onClick={() => editor.renumber()}>{texts.relabel}</button>
      </div>
    </section>
  );
}
