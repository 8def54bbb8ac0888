import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { giveKeysBack } from '../src/dropdowns';

class Select extends EventTarget {
  blur = vi.fn();
}

beforeEach(() => {
  vi.stubGlobal('window', new EventTarget());
  vi.stubGlobal('HTMLSelectElement', Select);
});
afterEach(() => vi.unstubAllGlobals());

/** What the page hears of what is done with an element. */
function heard(target: EventTarget, name: string, key?: string): void {
  const event = Object.assign(new Event(name), { key });
  Object.defineProperty(event, 'target', { value: target });
  window.dispatchEvent(event);
}

it('a drop-down gives the keys back once an option was chosen by the mouse', () => {
  const end = giveKeysBack();
  const select = new Select();
  heard(select, 'pointerdown');
  expect(select.blur).not.toHaveBeenCalled();
  heard(select, 'change');
  expect(select.blur).toHaveBeenCalledOnce();
  end();
  heard(select, 'change');
  expect(select.blur).toHaveBeenCalledOnce();
});

it('a drop-down that is gone through by keys keeps them until Enter or Escape', () => {
  const end = giveKeysBack();
  for (const done of ['Enter', 'Escape']) {
    const select = new Select();
    heard(new EventTarget(), 'pointerdown');
    for (const key of ['Tab', 'ArrowDown', 'ArrowDown', 'f']) {
      heard(select, 'keydown', key);
      heard(select, 'change');
      heard(select, 'keyup', key);
    }
    heard(select, 'keydown', done);
    expect(select.blur).not.toHaveBeenCalled();
    heard(select, 'keyup', done);
    expect(select.blur).toHaveBeenCalledOnce();
  }
  end();
});

it('what is written elsewhere keeps the keys', () => {
  const end = giveKeysBack();
  const field = Object.assign(new EventTarget(), { blur: vi.fn() });
  heard(field, 'pointerdown');
  heard(field, 'change');
  heard(field, 'keyup', 'Enter');
  expect(field.blur).not.toHaveBeenCalled();
  end();
});
