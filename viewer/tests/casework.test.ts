import { describe, expect, it, vi } from 'vitest';
import { chosenPet } from '../src/arrival';
import { texts } from '../src/texts';
import { POLL_MS, Server, opened, until, voxels } from './opened';

/** A server that has a label of two lesions. */
function labelled(): Server {
  const server = new Server();
  server.stored.push({ tag: 'final', voxels: voxels(1, 2) });
  server.labels.final = { version: 1, annotator: 'ada', time: '1' };
  return server;
}

describe('a case that is opened', () => {
  for (const [models, chosen] of [[['click', 'fixed', 'unet'], 'unet'], [['click', 'fixed'], 'fixed'], [['click'], '']] as const) {
    it(`begins with "${chosen}" of ${models.join(', ')}`, async () => {
      const { server, store, casework, end } = opened();
      server.models = Object.fromEntries(models.map((name) => [name, {}]));
      await casework.begin();
      expect(store.state.model).toBe(chosen);
      await end();
    });
  }
});

it('the way in which the next case is chosen stays for those after it', async () => {
  const { store, casework, end } = opened();
  await casework.begin();
  casework.prefer('uncertain');
  store.set({ strategy: '' }); // of another page
  await casework.begin();
  expect(store.state.strategy).toBe('uncertain');
  await end();
});

describe('a case that could not be opened', () => {
  for (const path of ['/info/', '/lesions/measure', '/lesions/label']) {
    it(`opens with its stored label once ${path} answers`, async () => {
      const { server, store, casework, map, end } = opened(labelled());
      server.away = [path];
      await casework.begin();
      expect(store.state.ready).toBe(false);
      server.away = [];
      await store.state.problems[0]!.retry!();
      expect(store.state).toMatchObject({ ready: true, unsaved: false, problems: [], away: false });
      expect(store.state.note).toContain('submitted label of ada');
      expect(map()).toEqual(voxels(1, 2));
      await end();
    });
  }

  it('makes no map once it was left, though its images arrive', async () => {
    const { open, store, casework, images, createMap } = opened();
    images.framesLoaded = images.framesProcessed = 1;
    const opening = casework.begin();
    await until(() => store.state.loaded === 0.25);
    open.close();
    await casework.close();
    images.framesLoaded = images.framesProcessed = 4;
    await vi.advanceTimersByTimeAsync(POLL_MS);
    await opening;
    expect(createMap).not.toHaveBeenCalled();
    expect(store.state.ready).toBe(false);
  });

  it('lacks images of the PET that could not be fetched, one of which counts twice', async () => {
    const { store, casework, images, createMap, end } = opened();
    Object.assign(images, { framesLoaded: 1, framesProcessed: 4 });
    const opening = casework.begin();
    await until(() => store.state.loaded === 0.25);
    images.framesLoaded = 2; // the last that comes
    await vi.advanceTimersByTimeAsync(POLL_MS);
    await opening;
    expect(createMap).not.toHaveBeenCalled();
    expect(store.state.ready).toBe(false);
    expect(store.state.problems).toMatchObject([{ text: texts.failed(texts.opening, texts.imagesMissing(2, 'PT')) }]);
    await end();
  });

  it('is gone to when the next one could not be asked for at first', async () => {
    const { server, store, casework, assign, end } = opened();
    server.next = { id: 'other', study_uid: '1.2', reason: 'any' };
    server.away = ['/activelearning'];
    await casework.next('first');
    expect(assign).not.toHaveBeenCalled();
    server.away = [];
    await store.state.problems[0]!.retry!();
    expect(assign).toHaveBeenCalledWith('/pet-lesions?StudyInstanceUIDs=1.2');
    expect(chosenPet()).toBe('other');
    await end();
  });
});

describe('a case that was opened', () => {
  it('was read by the server while its images arrived, and keeps its label though Undo is pressed', async () => {
    const { server, store, editor, casework, images, map, end } = opened(labelled());
    images.framesLoaded = images.framesProcessed = 1;
    const opening = casework.begin();
    await until(() => server.asked.some((path) => path.startsWith('POST /lesions/measure')));
    expect(store.state.ready).toBe(false);
    images.framesLoaded = images.framesProcessed = 4;
    await vi.advanceTimersByTimeAsync(POLL_MS);
    await opening;
    editor.undo();
    expect(map()).toEqual(voxels(1, 2));
    expect(store.state).toMatchObject({ ready: true, unsaved: false });
    await end();
  });
});

it('a case whose CT lacks images can be worked on, and says so', async () => {
  const { store, casework, ctImages, end } = opened();
  ctImages.framesLoaded = 3;
  await casework.begin();
  await until(() => store.state.problems.length > 0);
  expect(store.state).toMatchObject({ ready: true, problems: [{ text: texts.imagesMissing(1, 'CT') }] });
  await end();
});

describe('a reverse proxy', () => {
  it('whose server does not run means that the server is away', async () => {
    const { store, casework, end } = opened();
    await casework.begin();
    const fetch = vi.fn(async () => new Response('<html>', { status: 502 }));
    vi.stubGlobal('fetch', fetch);
    await casework.draft();
    expect(store.state).toMatchObject({ away: true, problems: [{ asked: texts.draft, again: true }] });
    fetch.mockResolvedValue(Response.json({ detail: 'the archive does not answer' }, { status: 502 }));
    await casework.draft();
    expect(store.state.problems[0]!.text).toContain('the archive does not answer');
    await end();
  });
});

describe('what could not be done while the server was away', () => {
  it('is a Submit that is made once it is back, though an edit could not be measured either', async () => {
    const { server, store, casework, draw, end } = opened();
    await casework.begin();
    draw(1);
    await until(() => store.state.lesions.length === 1);
    server.away = ['/'];
    await casework.submit();
    draw(1, 2);
    await until(() => store.state.problems.length === 2);
    expect(store.state.away).toBe(true);
    server.away = [];
    await vi.advanceTimersByTimeAsync(POLL_MS);
    await until(() => !store.state.unsaved && store.state.lesions.length === 2);
    expect(server.stored).toEqual([{ tag: 'final', voxels: voxels(1, 2) }]);
    expect(store.state).toMatchObject({ problems: [], away: false });
    await end();
  });

  it('is a Submit that stays where an edit is measured after all', async () => {
    const { server, store, casework, draw, end } = opened();
    await casework.begin();
    draw(1);
    server.away = ['/datastore/label'];
    await casework.submit();
    draw(1, 2);
    await until(() => store.state.lesions.length === 2);
    expect(store.state.problems.map((problem) => problem.asked)).toEqual([texts.submit]);
    await end();
  });

  it('is a "No lesion", which is not sent where lesions were drawn meanwhile, and says so', async () => {
    const { server, store, casework, draw, end } = opened();
    await casework.begin();
    server.away = ['/'];
    await casework.noLesion();
    draw(1);
    server.away = [];
    await vi.advanceTimersByTimeAsync(POLL_MS);
    await until(() => store.state.problems.length === 0);
    expect(server.stored).toEqual([]);
    expect(store.state).toMatchObject({ unsaved: true, note: texts.noLesionOver });
    await end();
  });

  it('is a Run, which replaces nothing unasked', async () => {
    const { server, store, finder, casework, draw, map, confirm, end } = opened();
    await casework.begin();
    server.away = ['/'];
    await finder.run('fixed');
    draw(7, 7);
    server.away = [];
    await vi.advanceTimersByTimeAsync(2 * POLL_MS);
    await until(() => !store.state.away);
    expect(server.asked.filter((path) => path.includes('/infer'))).toHaveLength(1);
    confirm.mockReturnValueOnce(false);
    await store.state.problems.find((problem) => problem.asked === 'fixed')!.retry!();
    expect(confirm).toHaveBeenCalledWith(texts.replace);
    expect(map()).toEqual(voxels(7, 7));
    await end();
  });
});

describe('a label that is sent', () => {
  it('names the model that was run, not the one that could be', async () => {
    const { server, store, finder, casework, draw, end } = opened();
    await casework.begin();
    draw(1);
    await casework.draft();
    expect(store.state.model).toBe('fixed');
    expect(server.params.pre_label).toBe('');
    await finder.run('fixed');
    await casework.draft();
    expect(server.params.pre_label).toBe('fixed');
    await end();
  });

  it('names the model of the stored pre-label that it was begun from', async () => {
    const server = new Server();
    server.stored.push({ tag: 'original', voxels: voxels(1) });
    server.labels.original = { version: 1, annotator: '', time: '1', model: 'percist' };
    const { casework, end } = opened(server);
    await casework.begin();
    await casework.draft();
    expect(server.params.pre_label).toBe('percist');
    await end();
  });

  it('says that each of its values is one lesion, so that one in several parts stays one', async () => {
    const { server, casework, draw, end } = opened();
    await casework.begin();
    draw(1, 0, 1);
    await casework.submit();
    expect(server.params.instances).toBe(true);
    await end();
  });

  it('has the time of all sittings of a draft, and of a label that is corrected that of the correction', async () => {
    for (const [tag, least] of [['draft', 600], ['final', 0]] as const) {
      const server = new Server();
      server.stored.push({ tag, voxels: voxels(1) });
      server.labels[tag] = { version: 1, annotator: 'ada', time: '1', seconds: 600 };
      const { casework, end } = opened(server);
      await casework.begin();
      await casework.submit();
      expect(server.params.seconds).toBeGreaterThanOrEqual(least);
      expect(server.params.seconds).toBeLessThan(least + 60);
      await end();
    }
  });

  it('leaves as not saved what was drawn or written meanwhile', async () => {
    for (const meanwhile of ['draw', 'write']) {
      const { server, store, casework, draw, end } = opened();
      await casework.begin();
      draw(1);
      server.onStore = () => (meanwhile === 'draw' ? draw(1, 2) : store.set({ comment: 'more' }));
      await casework.draft();
      expect(server.stored[0]!.voxels).toEqual(voxels(1));
      expect(store.state.unsaved).toBe(true);
      server.onStore = () => {};
      await casework.draft();
      expect(store.state.unsaved).toBe(false);
      await end();
    }
  });

  it('is what the report is of, though there are changes since', async () => {
    const { server, store, casework, draw, visit, end } = opened(labelled());
    await casework.begin();
    expect(store.state.stored).toBe('final');
    draw(3);
    expect(store.state).toMatchObject({ stored: 'final', unsaved: true });
    store.set({ otherTracer: 'ga68-psma11' });
    await casework.draft();
    casework.report();
    expect(visit.mock.calls).toEqual([['/lesions/report?image=pet&tag=draft&tracer=ga68-psma11', '_blank', 'noopener']]);
    expect(server.stored.at(-1)!.tag).toBe('draft');
    await end();
  });

  it('is sent once, though what is asked for after it is not answered', async () => {
    for (const send of ['submit', 'draft'] as const) {
      const { server, store, casework, draw, end } = opened();
      await casework.begin();
      draw(1);
      server.onStore = () => void (server.away = ['/info/', '/datastore/image', '/lesions/reservation']);
      await casework[send]();
      expect(store.state).toMatchObject({ unsaved: false, problems: [] });
      expect(store.state.note).toBe(send === 'draft' ? texts.drafted : texts.submitted());
      server.away = [];
      await vi.advanceTimersByTimeAsync(2 * POLL_MS);
      expect(server.stored).toHaveLength(1);
      await end();
    }
  });

  it('is empty for "No lesion", though the last stroke is not listed yet, after it was said that this deletes', async () => {
    const { server, casework, draw, confirm, end } = opened();
    await casework.begin();
    draw(1);
    await casework.noLesion();
    expect(confirm.mock.calls).toEqual([[texts.noLesionAsk(true)]]);
    expect(server.stored).toEqual([{ tag: 'final', voxels: voxels() }]);
    await end();
  });
});

describe('a label without a name', () => {
  for (const way of ['submit', 'noLesion'] as const) {
    it(`is not sent by ${way} before the annotator was asked for it, once; a draft is`, async () => {
      const { server, store, casework, draw, confirm, end } = opened();
      store.set({ nameAsked: false });
      await casework.begin();
      draw(1);
      await casework.draft();
      await casework[way]();
      expect(store.state).toMatchObject({ nameAsked: true, note: texts.nameAsk });
      expect(confirm).not.toHaveBeenCalled();
      expect(server.stored.map(({ tag }) => tag)).toEqual(['draft']);
      await casework[way]();
      expect(server.stored.map(({ tag }) => tag)).toEqual(['draft', 'final']);
      await end();
    });
  }

  it('is not asked for where there is one', async () => {
    const { server, store, casework, draw, end } = opened();
    store.set({ nameAsked: false });
    await casework.begin();
    casework.rename('ada');
    draw(1);
    await casework.submit();
    expect(server.stored).toHaveLength(1);
    await end();
  });
});

describe('a name that is entered after the case was opened', () => {
  it('has the case from then on', async () => {
    const { server, store, casework, end } = opened();
    await casework.begin();
    expect(server.holder).toMatch(/^browser-/);
    casework.rename('ada');
    await vi.advanceTimersByTimeAsync(POLL_MS);
    await until(() => server.holder === 'ada');
    await casework.draft();
    expect(store.state.holder).toMatchObject({ client: 'ada', own: true });
    await end();
  });

  it('takes no case from anybody else', async () => {
    const server = new Server();
    server.holder = 'ben';
    const { store, casework, end } = opened(server);
    await casework.begin();
    casework.rename('ada');
    await casework.draft();
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect(store.state.holder).toMatchObject({ client: 'ben', own: false });
    await end();
  });
});

describe('a case that somebody has', () => {
  /** A case that is open, and what happens to it in the minutes after. */
  async function had() {
    const each = opened();
    const now = vi.spyOn(performance, 'now').mockReturnValue(0);
    const date = vi.spyOn(Date, 'now').mockReturnValue(0);
    const asks = () => each.server.asked.filter((path) => path.startsWith('PUT /lesions/reservation')).length;
    await each.casework.begin();
    const minute = async (minutes: number, work = true) => {
      now.mockReturnValue(60_000 * minutes);
      date.mockReturnValue(60_000 * minutes);
      if (work) {
        window.dispatchEvent(new Event('wheel'));
      }
      await vi.advanceTimersByTimeAsync(POLL_MS);
    };
    const end = () => each.end().finally(() => [now, date].forEach((mock) => mock.mockRestore()));
    return { ...each, asks, minute, end };
  }

  it('stays theirs while they work, and not while nobody does', async () => {
    const { asks, minute, end } = await had();
    expect(asks()).toBe(1);
    await minute(0.5);
    expect(asks()).toBe(1);
    await minute(1);
    await minute(1);
    expect(asks()).toBe(2);
    await minute(2);
    expect(asks()).toBe(3);
    await minute(4, false);
    await minute(70, false);
    expect(asks()).toBe(3);
    await minute(71);
    expect(asks()).toBe(4);
    await end();
  });

  it('is said to be another person\'s who got it in a long pause, and left to them', async () => {
    const { server, store, asks, minute, end } = await had();
    server.holder = 'ben';
    await minute(90);
    expect(store.state.holder).toMatchObject({ client: 'ben', own: false });
    await minute(95);
    expect(asks()).toBe(2);
    await end();
  });

  it('becomes theirs who work on it once the other\'s time is over', async () => {
    const { server, store, asks, minute, end } = await had();
    Object.assign(server, { holder: 'ben', until: 6000 });
    await minute(90);
    server.holder = undefined;
    await minute(99);
    await minute(101, false);
    expect(asks()).toBe(2);
    expect(store.state.holder).toMatchObject({ client: 'ben', own: false });
    await minute(102);
    expect(asks()).toBe(3);
    expect(store.state.holder).toMatchObject({ own: true });
    await end();
  });

  it('is not taken again by work on it once it was submitted', async () => {
    const { casework, asks, minute, draw, end } = await had();
    draw(1);
    await casework.submit();
    await minute(5);
    expect(asks()).toBe(1);
    await end();
  });
});

describe('a case that is left', () => {
  it('asks whether to keep what is not saved, and asks again while that fails', async () => {
    const { server, store, casework, draw, confirm } = opened();
    await casework.begin();
    draw(1);
    server.away = ['/'];
    confirm.mockImplementation(() => {
      server.away = confirm.mock.calls.length === 2 ? [] : server.away;
      return true;
    });
    casework.close();
    await until(() => !store.state.unsaved);
    expect(confirm.mock.calls).toEqual([[texts.keep], [texts.keepAgain]]);
    expect(server.stored).toEqual([{ tag: 'draft', voxels: voxels(1) }]);
  });

  it('asks nothing where all is saved, and stores nothing that is not wanted', async () => {
    const { server, casework, draw, confirm } = opened();
    await casework.begin();
    casework.close();
    expect(confirm).not.toHaveBeenCalled();
    draw(1);
    confirm.mockReturnValue(false);
    casework.close();
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect(server.stored).toEqual([]);
  });
});

describe('a case that is left while the server has not answered', () => {
  it('asks nothing about what is being submitted', async () => {
    const { server, store, casework, draw, confirm } = opened();
    await casework.begin();
    draw(1);
    let stored = () => {};
    server.onStore = () => new Promise<void>((done) => (stored = done));
    const submitting = casework.submit();
    await until(() => server.asked.some((path) => path.startsWith('PUT /datastore/label')));
    confirm.mockReturnValue(false);
    const closing = casework.close();
    stored();
    await Promise.all([submitting, closing]);
    expect(confirm).not.toHaveBeenCalled();
    expect(server.stored).toEqual([{ tag: 'final', voxels: voxels(1) }]);
    expect(store.state.unsaved).toBe(false);
  });

  it('submits nothing afterwards that the annotator gave up', async () => {
    const { server, open, casework, draw, confirm } = opened();
    await casework.begin();
    draw(1);
    server.away = ['/'];
    await casework.submit();
    server.away = [];
    let answer = () => {};
    const waits = new Promise<void>((done) => (answer = done));
    vi.stubGlobal('fetch', async (...request: Parameters<typeof server.fetch>) => (await waits, server.fetch(...request)));
    await vi.advanceTimersByTimeAsync(POLL_MS);
    confirm.mockReturnValue(false);
    open.close();
    await casework.close();
    answer();
    await vi.advanceTimersByTimeAsync(2 * POLL_MS);
    expect(server.stored).toEqual([]);
  });
});

describe('the look at the server now and then', () => {
  it('is one at a time, so that a slow server has room for a Submit', async () => {
    const { casework, end } = opened();
    await casework.begin();
    const hung = vi.fn(() => new Promise(() => {}));
    vi.stubGlobal('fetch', hung);
    await vi.advanceTimersByTimeAsync(5 * POLL_MS);
    expect(hung).toHaveBeenCalledOnce();
    await end();
  });

  it('takes a server that refuses for one that answers', async () => {
    const { store, casework, end } = opened();
    await casework.begin();
    vi.stubGlobal('fetch', async () => Response.json({ detail: 'unexpected error' }, { status: 500 }));
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect(store.state.away).toBe(false);
    await end();
  });
});

describe('a case that is left for the next one', () => {
  const next = { id: 'other', study_uid: '1.2', reason: 'any' };
  /** Whether the browser would ask before it leaves the page. */
  const guarded = () => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }));

  it('is stored as a draft first, and what is drawn meanwhile asked about', async () => {
    const { server, casework, draw, confirm, assign, end } = opened();
    server.next = next;
    await casework.begin();
    draw(1);
    await casework.next('first');
    expect(confirm.mock.calls).toEqual([[texts.keep]]);
    expect(server.stored).toEqual([{ tag: 'draft', voxels: voxels(1) }]);
    expect(assign).toHaveBeenCalledOnce();
    expect(guarded()).toBe(false);
    draw(1, 2);
    expect(guarded()).toBe(true);
    await end();
  });

  it('stays where the draft cannot be stored', async () => {
    const { server, store, casework, draw, assign, end } = opened();
    server.next = next;
    server.away = ['/datastore/label'];
    await casework.begin();
    draw(1);
    await casework.next('first');
    expect(assign).not.toHaveBeenCalled();
    expect(store.state).toMatchObject({ unsaved: true, problems: [{ asked: texts.next }] });
    expect(guarded()).toBe(true);
    await end();
  });

  it('is given up only where that is said twice', async () => {
    const { server, casework, draw, confirm, assign, end } = opened();
    server.next = next;
    await casework.begin();
    draw(1);
    confirm.mockReturnValue(false);
    await casework.next('first');
    expect(confirm.mock.calls).toEqual([[texts.keep], [texts.lose]]);
    expect(assign).not.toHaveBeenCalled();
    expect(guarded()).toBe(true);
    confirm.mockReturnValueOnce(false).mockReturnValueOnce(true);
    await casework.next('first');
    expect(assign).toHaveBeenCalledOnce();
    expect(guarded()).toBe(false);
    expect(server.stored).toEqual([]);
    await end();
  });
});
