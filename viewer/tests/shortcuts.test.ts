import { expect, it, vi } from 'vitest';
import { listen } from '../src/shortcuts';
import { Server, opened, until } from './opened';

function press(key: string, more: object = {}): void {
  window.dispatchEvent(Object.assign(new Event('keydown'), { key, ctrlKey: false, metaKey: false, altKey: false, ...more }));
}

const control = { ctrlKey: true };
const stores = (server: Server) => server.asked.filter((path) => path.startsWith('PUT /datastore/label'));

it('no key stores a label before the case is open, or while something else takes time', async () => {
  const { server, store, editor, casework, draw, end } = opened();
  const stop = listen(editor, casework);
  server.away = ['/lesions/measure'];
  await casework.open();
  press('s', control);
  server.away = [];
  await store.state.problems[0]!.retry!();
  draw(1);
  press('s', control);
  press('s', control);
  press('Enter', control);
  await until(() => !store.state.unsaved);
  expect(stores(server)).toHaveLength(1);
  stop();
  await end();
});

it('a key that is held stores one label and deletes one lesion, and walks through the list', async () => {
  const { server, store, editor, casework, draw, end } = opened();
  const stop = listen(editor, casework);
  await casework.open();
  draw(1, 2, 3);
  await until(() => store.state.lesions.length === 3);
  for (let n = 0; n < 3; n++) {
    press('Enter', { ...control, repeat: n > 0 });
    await until(() => !store.state.busy);
  }
  expect(stores(server)).toHaveLength(1);
  press('ArrowDown');
  press('ArrowDown', { repeat: true });
  expect(store.state.active).toBe(2);
  const removed = vi.spyOn(editor, 'remove');
  press('x');
  press('x', { repeat: true });
  expect(removed).toHaveBeenCalledOnce();
  stop();
  await end();
});
