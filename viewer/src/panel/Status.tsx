/** How far the annotation and the training are, and which model is in service. */
import type { TrainStats } from '../server';
import { texts } from '../texts';
import { useCase } from './context';

const ENDED = ['published', 'rejected', 'failed', 'stopped'];

export function Status() {
  const { info } = useCase().state;
  if (!info) {
    return null;
  }
  const stats = info.train_stats.unet ?? {};
  return (
    <section className="quiet" data-cy="petlesion-status">
      <p>{texts.status(info.datastore.completed, info.datastore.total)}</p>
      <p>{stats.stage ? training(stats) : 'unet' in info.models ? '' : texts.noNetwork}</p>
      {stats.version != null && <p>{texts.inService(String(stats.version))}</p>}
      <p>{texts.research}</p>
    </section>
  );
}

function training(stats: TrainStats): string {
  const left = typeof stats.seconds_left === 'number' ? `, ${texts.timeLeft(Math.ceil(stats.seconds_left / 60))}` : '';
  const said = stats.message ? `: ${String(stats.message)}` : '';
  const running = !ENDED.includes(String(stats.stage));
  return `${texts.training(String(stats.stage), Number(stats.done ?? 0), running ? Number(stats.total ?? 0) : 0)}${left}${said}`;
}
