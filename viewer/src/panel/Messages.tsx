/** What annotators have to know now: the server is away, somebody else has the case, what a model said. */
import { texts } from '../texts';
import { useCase } from './context';

export function Messages() {
  const { state, open } = useCase();
  const { away, problems, holder, busy, note, loaded, perSuv } = state;
  const until = holder && new Date(holder.until * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return (
    <div className="messages">
      {(away || problems.length > 0) && (
        <div role="alert" className="problem">
          {away && <p>{texts.away}</p>}
          {problems.map(({ asked, text, retry }) => (
            <p key={asked}>
              {text}
              <span>
                {retry && <button disabled={Boolean(busy)} onClick={() => void retry()}>{texts.retry}</button>}
                <button onClick={() => open.attempts.solved(asked)}>{texts.dismiss}</button>
              </span>
            </p>
          ))}
        </div>
      )}
      {perSuv !== 1 && <div className="warning">{perSuv ? texts.otherSuv(perSuv) : texts.noSuv}</div>}
      {holder && !holder.own && <div className="warning">{texts.heldBy(holder.client, until ?? '')}</div>}
      {busy && loaded < 1 && <p className="quiet">{texts.notLoaded(loaded)}</p>}
      <div role="status" className="note" data-cy="petlesion-note">
        {busy ? <span className="busy">{busy}</span> : <Note text={note} />}
      </div>
    </div>
  );
}

/** What was done, and what has to be known about it, as a list. */
export function Note({ text }: { text: string }) {
  const lines = text.split('\n');
  return <ul>{text && lines.map((line) => <li key={line}>{line}</li>)}</ul>;
}
