/** The keyboard shortcuts. */
import { texts } from '../texts';

export function Keys() {
  return (
    <details className="quiet">
      <summary>{texts.shortcuts}</summary>
      <dl>
        {texts.keys.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>{keys}</dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
