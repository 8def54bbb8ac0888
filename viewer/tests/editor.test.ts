import { describe, expect, it } from 'vitest';
import { opened, until, voxels } from './opened';

it('numbers by volume also what is not listed yet, and merges nothing', async () => {
  const { server, store, editor, casework, draw, map, end } = opened();
  await casework.begin();
  draw(7, 7, 3);
  await until(() => store.state.lesions.length === 2);
  server.away = ['/'];
  draw(7, 7, 3, 1);
  editor.renumber();
  expect(map()).toEqual(voxels(1, 1, 3, 2));
  await end();
});

describe('the keys', () => {
  it('go through the lesions in the order of the list, and on from where one was deleted', async () => {
    const { store, editor, casework, draw, end } = opened();
    await casework.begin();
    draw(1, 2, 3, 4);
    await until(() => store.state.lesions.length === 4);
    store.set({ order: { column: 'number', down: true } });
    const walked = [1, 1, -1, 1].map((by) => (editor.step(by), store.state.active));
    expect(walked).toEqual([4, 3, 4, 3]);
    editor.remove([3]);
    expect(store.state.active).toBe(0);
    editor.step(1);
    expect(store.state.active).toBe(2);
    editor.remove([2]);
    editor.step(-1);
    expect(store.state.active).toBe(4);
    await end();
  });
});
