import { expect, it } from 'vitest';
import { said } from '../src/panel/Status';
import type { TrainStats } from '../src/server';

const info = (unet: TrainStats, models = {}) => ({
  version: '1',
  models,
  strategies: {},
  train_stats: { unet },
  datastore: { total: 9, completed: 4 },
});

it('the model version is the one in service, not the one that a round has refused', () => {
  const lines = said(info({ stage: 'refused', done: 9, total: 9, version: 3, published_version: 2 }));
  expect(lines).toEqual(['4 of 9 cases labelled', 'training: refused', 'model version 2']);
  expect(said(info({ stage: 'refused', version: 1, published_version: null }))).toHaveLength(2);
});

it('a training that runs is counted, and no network is said only where there is none', () => {
  const running = { stage: 'train', done: 2, total: 8, seconds_left: 61 };
  expect(said(info(running))[1]).toBe('training: train 2 of 8, about 2 min left');
  expect(said(info({}))[1]).toBe('no network in service yet');
  expect(said(info({}, { unet: {} }))).toHaveLength(1);
});
