/** How far the annotation and the training are, and which model is in service. */
import type { Info, TrainStats } from '../server';
import { texts } from '../texts';
import { useCase } from './context';

/** Stages after which nothing is counted any more. */
const ENDED = ['published', 'refused', 'failed'];

export function Status() {
  const { info } = useCase().state;
  return info ? (
    <section className="quiet" data-cy="petlesion-status">
      {[...said(info), texts.research].map((line) => (
        <p key={line}>{line}</p>
      ))}
    </section>
  ) : null;
}

export function said({ datastore, models, train_stats }: Info): string[] {
  const stats = train_stats.unet ?? {};
  const lines = [texts.status(datastore.completed, datastore.total)];
  if (stats.stage) {
    lines.push(training(stats));
  } else if (!('unet' in models)) {
    lines.push(texts.noNetwork);
  }
  // Not the newest round's version, which may have been refused.
  return stats.published_version == null ? lines : [...lines, texts.inService(stats.published_version)];
}

function training(stats: TrainStats): string {
  const left = typeof stats.seconds_left === 'number' ? `, ${texts.timeLeft(Math.ceil(stats.seconds_left / 60))}` : '';
  const said = stats.message ? `: ${String(stats.message)}` : '';
  const running = !ENDED.includes(String(stats.stage));
  return `${texts.training(String(stats.stage), Number(stats.done ?? 0), running ? Number(stats.total ?? 0) : 0)}${left}${said}`;
}
