/** The case as a whole: who has it, what was stored, saving, submitting, and the next one. */
import { Clock, clientId, storeName, storeStrategy, storedName, storedStrategy } from './annotator';
import { goTo, takeReason } from './arrival';
import type { OpenCase } from './case';
import type { Editor } from './editor';
import type { Finder } from './finder';
import type { Lesions } from './lesions';
import { openImages } from './opening';
import * as server from './server';
import { texts } from './texts';

/** Stored labels that a case goes on from, the first that is there. */
const TAGS = ['draft', 'final', 'original'] as const;
const POLL_MS = 10_000;
/** Time after which the server is told that somebody still works on the case; it keeps it an hour, or as it is set. */
const RENEW_MS = 60_000;
/** The model that is chosen to begin with, where it is in service, as on the command line. */
const DEFAULT_MODEL = 'unet';
/** Events by which somebody works. */
const WORK = ['pointerdown', 'keydown', 'wheel'] as const;

export class Casework {
  private readonly clock = new Clock();
  private polling = 0;
  private left = false;
  /** What is on its way to the server. */
  private sending?: Promise<void>;
  /** Under which name this browser has the case. */
  private held?: string;
  /** When the server last said so. */
  private reserved = 0;

  constructor(
    private readonly open: OpenCase,
    private readonly lesions: Lesions,
    private readonly editor: Editor,
    private readonly finder: Finder,
  ) {
    // Before the shortcuts and cornerstone, which pass on nothing that they use.
    for (const name of WORK) {
      window.addEventListener(name, this.clock.tick, { passive: true, capture: true });
    }
    window.addEventListener('beforeunload', this.guard);
  }

  private get store() {
    return this.open.store;
  }

  private get client(): string {
    return clientId(this.store.state.name);
  }

  async close(): Promise<void> {
    window.clearTimeout(this.polling);
    for (const name of WORK) {
      window.removeEventListener(name, this.clock.tick, { capture: true });
    }
    await this.keep();
    window.removeEventListener('beforeunload', this.guard);
  }

  /** Keeps what would be lost: OHIF's ways to the list of studies ask nothing. */
  private async keep(): Promise<void> {
    if (this.sending) {
      await this.sending.catch(() => undefined); // perhaps all is stored then
    }
    const { ready, unsaved } = this.store.state;
    if (ready && unsaved && window.confirm(texts.keep)) {
      do {
        await this.draft();
      } while (this.store.state.unsaved && window.confirm(texts.keepAgain));
    } else {
      this.left = true;
    }
  }

  /** Connects, says who has the case, and goes on from what is stored. */
  async begin(): Promise<void> {
    this.store.set({ name: storedName(), strategy: storedStrategy() });
    this.pollLater();
    await this.open.attempts.make(texts.opening, () => this.enter(), true);
  }

  /** Not before the last look was answered: those that wait would leave a browser no connection for a Submit. */
  private pollLater(): void {
    this.polling = window.setTimeout(() => void this.status().then(() => this.open.closed || this.pollLater()), POLL_MS);
  }

  /** All of it is one attempt: a case without its stored label must not be worked on. */
  private async enter(): Promise<void> {
    const { image } = this.open;
    const [info, caseInfo] = await Promise.all([server.info(), server.caseInfo(image)]);
    const model = this.store.state.model || firstModel(Object.keys(info.models));
    this.store.set({ info, model, tracer: caseInfo.tracer });
    await this.reserve();
    if (caseInfo.problem) {
      this.open.attempts.report({ asked: texts.opening, text: caseInfo.problem });
      return;
    }
    const tag = newest(caseInfo.labels);
    const [label] = await Promise.all([tag && server.storedLabel(image, tag), openImages(this.open, this.lesions)]);
    if (tag && label) {
      await this.finder.load(label);
      const { annotator = '', comment = '', model = '', pre_label: preLabel = model, seconds = 0 } = caseInfo.labels[tag]!;
      this.clock.earlier = tag === 'draft' ? seconds : 0;
      this.store.set({ unsaved: false, stored: tag, comment, preLabel, note: texts.continued(tag, annotator) });
    }
    this.lesions.forgetChanges();
    const reason = takeReason();
    if (reason) {
      this.store.set({ note: [texts.nextBecause(reason), this.store.state.note].filter(Boolean).join('\n') });
    }
    this.store.set({ ready: true });
  }

  rename(name: string): void {
    storeName(name);
    this.store.set({ name });
  }

  /** Lets next cases be chosen so, also those after the next: each is a page of its own. */
  prefer(strategy: string): void {
    storeStrategy(strategy);
    this.store.set({ strategy });
  }

  /** Keeps the lesions as a draft, from which nothing is learned. */
  async draft(): Promise<void> {
    await this.open.attempts.make(texts.draft, () => this.send('draft'), true);
  }

  async submit(): Promise<void> {
    if (this.signed()) {
      await this.final(false, texts.emptySubmit);
    }
  }

  /** Submits an empty label: a case without lesion is learned from, too. */
  async noLesion(): Promise<void> {
    if (this.signed() && window.confirm(texts.noLesionAsk(!this.lesions.empty))) {
      this.editor.clear();
      await this.final(true, texts.noLesionOver);
    }
  }

  /** Whether a label may go out: for a name that it would lack, the annotator is asked once. */
  private signed(): boolean {
    const { name, nameAsked } = this.store.state;
    if (name.trim() || nameAsked) {
      return true;
    }
    this.store.set({ nameAsked: true, note: texts.nameAsk });
    return false;
  }

  /** Submits the label while it is as empty as it is meant to be, which may be long after: once the server is back. */
  private async final(empty: boolean, otherwise: string): Promise<void> {
    const work = async () => {
      if (this.lesions.empty === empty) {
        await this.send('final');
      } else {
        this.store.set({ note: otherwise });
      }
    };
    await this.open.attempts.make(texts.submit, work, true);
  }

  /** Opens the PDF of the label that was stored last. */
  report(): void {
    const { stored, otherTracer } = this.store.state;
    window.open(server.reportOf(this.open.image, stored, otherTracer), '_blank', 'noopener');
  }

  /** Opens the case that active learning chooses, once nothing would be lost unasked. */
  async next(strategy: string): Promise<void> {
    await this.open.attempts.make(texts.next, async () => {
      while (this.store.state.ready && this.store.state.unsaved && window.confirm(texts.keep)) {
        await this.send('draft');
      }
      const lost = this.store.state.unsaved;
      if (lost && !window.confirm(texts.lose)) {
        return;
      }
      const chosen = await server.nextCase(strategy, this.client);
      if (chosen.study_uid) {
        this.left = lost; // else the browser asks about what was drawn meanwhile
        goTo(chosen);
      } else {
        this.store.set({ note: texts.noNext });
      }
    });
  }

  private async send(tag: 'draft' | 'final'): Promise<void> {
    this.sending = this.put(tag).finally(() => (this.sending = undefined));
    await this.sending;
    // It is stored, and must not be sent again where this is not answered.
    await this.lookAfter(tag).catch(() => undefined);
  }

  private async put(tag: 'draft' | 'final'): Promise<void> {
    const map = await this.lesions.labelmap();
    const { edits } = this.lesions;
    const { comment, name, preLabel } = this.store.state;
    const { seconds } = this.clock;
    const params = { client_id: this.client, name, comment, seconds, pre_label: preLabel, instances: true };
    await server.submit(this.open.image, tag, await map.encode(), params);
    const unsaved = edits !== this.lesions.edits || comment !== this.store.state.comment;
    this.open.attempts.solved(texts.draft); // a draft that could not be sent is out of date
    this.store.set({ unsaved, stored: tag, note: tag === 'draft' ? texts.drafted : texts.submitted() });
  }

  /** Who has the case after it was stored, as which version, and how many cases are labelled now. */
  private async lookAfter(tag: 'draft' | 'final'): Promise<void> {
    if (tag === 'draft') {
      await this.reserve();
    } else {
      this.held = undefined;
      const { labels } = await server.caseInfo(this.open.image);
      this.store.set({ note: texts.submitted(labels.final?.version) });
    }
    this.store.set({ info: await server.info() });
  }

  /** Takes the case, where nobody else has it; a name that was entered since takes the place of the one before. */
  private async reserve(): Promise<void> {
    const before = this.held ?? clientId('');
    const holder = await server.reserve(this.open.image, this.client, before);
    const own = holder.own || holder.client === before;
    this.held = own ? holder.client : undefined;
    this.reserved = performance.now();
    this.store.set({ holder: { ...holder, own } });
  }

  /** Whether the case would go to others though somebody works on it. One that is being stored may be given back by that. */
  private get lapses(): boolean {
    return this.clock.working && !this.sending && performance.now() - this.reserved >= RENEW_MS;
  }

  /** Whether somebody works here, and the time is over until when somebody else had the case. */
  private get free(): boolean {
    const { holder } = this.store.state;
    return !!holder && !holder.own && this.clock.working && !this.sending && Date.now() >= holder.until * 1000;
  }

  /** Looks how many cases are labelled and how far training is, and keeps the case; a server that is away, or back, is noticed here. */
  private async status(): Promise<void> {
    try {
      this.store.set({ info: await server.info(), away: false });
      if (this.held ? this.held !== this.client || this.lapses : this.free) {
        await this.reserve();
      }
    } catch (error) {
      this.store.set({ away: error instanceof server.ServerAway });
    }
    const { away, problems } = this.store.state;
    for (const problem of away ? [] : problems) {
      const { busy, problems: left } = this.store.state;
      if (problem.again && !busy && left.includes(problem) && !this.open.closed) {
        await problem.retry?.();
      }
    }
  }

  private guard = (event: BeforeUnloadEvent): void => {
    if (this.store.state.unsaved && !this.left) {
      event.preventDefault();
    }
  };
}

function firstModel(names: readonly string[]): string {
  return names.includes(DEFAULT_MODEL) ? DEFAULT_MODEL : (names.find((name) => name !== 'click') ?? '');
}

/** Of a draft and a submitted label the newer one, else the pre-label. */
function newest(labels: server.CaseInfo['labels']): string | undefined {
  const [first, second] = TAGS.slice(0, 2).filter((tag) => labels[tag]);
  if (first && second) {
    return labels[first]!.time > labels[second]!.time ? first : second;
  }
  return first ?? (labels.original ? 'original' : undefined);
}
