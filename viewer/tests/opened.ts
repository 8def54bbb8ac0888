/** A case as the panel opens it. OHIF and the annotation server, which need a browser and Python, are replaced. */
import { afterEach, vi } from 'vitest';
import { OpenCase } from '../src/case';
import { Casework } from '../src/casework';
import { Editor } from '../src/editor';
import { Finder } from '../src/finder';
import { Lesions } from '../src/lesions';
import { decode, encode } from '../src/nrrd';
import type { LabelInfo } from '../src/server';
import { Store } from '../src/state';
import { Viewports } from '../src/viewports';

const SIZE = 4;
const GEOMETRY = { size: [SIZE, SIZE, SIZE], origin: [0, 0, 0], axes: [[1, 0, 0], [0, 1, 0], [0, 0, 1]] } as never;
/** The same as the server gives it: from (z, y, x). */
const GRID = { shape: [SIZE, SIZE, SIZE], affine: [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]] };
const instances = [{ FrameOfReferenceUID: 'frame' }];
const PET = { Modality: 'PT', SeriesInstanceUID: 'pet', displaySetInstanceUID: 'pet', instances };
const CT = { Modality: 'CT', SeriesInstanceUID: 'ct', displaySetInstanceUID: 'ct', instances, isReconstructable: true };
/** What the models `fixed` and `click` say of their lesion, and what is known of others. */
export const FOUND = { location: 'liver', confidence: 0.9 };
export const GROWN = { location: 'bone', confidence: 0.5 };
export const UNKNOWN = { location: null, confidence: null };
/** Time between two looks at the server. */
export const POLL_MS = 10_000;

/** The annotation server: what was stored, and which requests fail. */
export class Server {
  labels: Record<string, LabelInfo> = {};
  /** Voxels of what was stored, newest last. */
  stored: { tag: string; voxels: Uint8Array }[] = [];
  /** What was sent with the last of them, or with the last Run. */
  params: Record<string, unknown> = {};
  holder?: string;
  /** When the time of who has the case is over, seconds since 1970. */
  until = 4e9;
  /** Beginnings of the paths that do not answer. */
  away: string[] = [];
  asked: string[] = [];
  next = {};
  /** From the values of the PET to SUV. */
  factor: number | null = 1;
  models: Record<string, object> = { click: {}, fixed: {} };
  /** What the model `fixed` says. */
  lesions: object[] = [{ id: 1, ...FOUND }];
  tracer = 'f18-fdg';
  /** What has to be known about a reference, or a result. */
  warnings: string[] = [];
  /** What was assumed about the header. */
  suvWarnings: string[] = [];
  /** SUV at which it cuts. */
  threshold: number | null = null;
  /** Called before a label is stored. */
  onStore: () => Promise<void> | void = () => {};

  fetch = async (address: string, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(address, 'http://server');
    this.asked.push(`${init.method ?? 'GET'} ${url.pathname}${url.search}`);
    if (this.away.some((path) => url.pathname.startsWith(path))) {
      throw new TypeError('Failed to fetch');
    }
    const tag = url.searchParams.get('tag') ?? '';
    const client = url.searchParams.get('client_id') ?? '';
    switch (url.pathname) {
      case '/info/':
        return Response.json({ models: this.models, strategies: {}, train_stats: {}, datastore: {} });
      case '/datastore/image/info':
        return Response.json({ labels: this.labels, tracer: this.tracer });
      case '/lesions/reservation':
        this.holder = [undefined, url.searchParams.get('instead_of')].includes(this.holder) ? client : this.holder;
        return Response.json({ client: this.holder, until: this.until, own: this.holder === client });
      case '/lesions/measure':
        return Response.json({
          lesions: lesionsOf((await decode(await (init.body as Blob).arrayBuffer())).voxels),
          grid: GRID,
          suv: { factor: this.factor },
        });
      case '/lesions/reference':
        return Response.json({ organ: 'liver', mean: 2, threshold: 4, spheres: [], warnings: this.warnings });
      case '/lesions/label':
        return new Response(await this.file(this.stored.filter((label) => label.tag === tag).at(-1)!.voxels));
      case '/datastore/label':
        await this.onStore();
        this.params = JSON.parse((init.body as FormData).get('params') as string);
        return this.store(tag, await decode(await ((init.body as FormData).get('label') as File).arrayBuffer()));
      case '/infer/fixed':
        this.params = JSON.parse((init.body as FormData).get('params') as string);
        return this.found(voxels(1), this.lesions);
      case '/infer/click':
        return this.found(voxels(0, 0, 0, 0, 1), [{ id: 1, ...GROWN }]);
      default:
        return Response.json(this.next);
    }
  };

  private store(tag: string, { voxels }: { voxels: Uint8Array }): Response {
    this.stored.push({ tag, voxels });
    const time = String(this.stored.length);
    this.labels[tag] = { version: (this.labels[tag]?.version ?? 0) + 1, annotator: '', time };
    return Response.json({});
  }

  private async found(label: Uint8Array, lesions: object[]): Promise<Response> {
    const body = new FormData();
    const suv = { factor: this.factor, warnings: this.suvWarnings };
    const said = { lesions, reference: { spheres: [] }, warnings: this.warnings, suv, threshold_suv: this.threshold };
    body.set('params', JSON.stringify(said));
    body.set('image', await this.file(label));
    return new Response(body);
  }

  private file(values: ArrayLike<number>): Promise<Blob> {
    return encode(GEOMETRY, [Uint8Array.from(values)]);
  }
}

/** A map in which the first voxels have these values. */
export function voxels(...first: number[]): Uint8Array {
  const all = new Uint8Array(SIZE ** 3);
  all.set(first);
  return all;
}

const plane = (n: number) => ({
  imagePositionPatient: [0, 0, n],
  rowCosines: [1, 0, 0],
  columnCosines: [0, 1, 0],
  columnPixelSpacing: 1,
  rowPixelSpacing: 1,
  columns: SIZE,
  rows: SIZE,
});

const lesionsOf = (values: ArrayLike<number>) =>
  [...new Set(Array.from(values))]
    .filter(Boolean)
    .map((value) => ({ id: value, value, volume_ml: 1, suv_mean: 1, centroid_mm: [0, 0, 0], ...UNKNOWN }));

interface Memo {
  restoreMemo: (undo: boolean) => void;
}

/** Cornerstone's row of changes. */
class History {
  private done: Memo[] = [];
  private undone: Memo[] = [];

  get size(): number {
    return 50;
  }

  set size(_: number) {
    this.done = [];
    this.undone = [];
  }

  push(memo: Memo): void {
    this.done.push(memo);
    this.undone = [];
  }

  undo(): void {
    this.undone.push(...this.done.splice(-1).map((memo) => (memo.restoreMemo(true), memo)));
  }

  redo(): void {
    this.done.push(...this.undone.splice(-1).map((memo) => (memo.restoreMemo(false), memo)));
  }
}

function storage() {
  const values = new Map<string, string>();
  return {
    getItem: (key: string) => values.get(key) ?? null,
    setItem: (key: string, value: string) => void values.set(key, value),
    removeItem: (key: string) => void values.delete(key),
  };
}

/** What leaves the cases of a test: one that fails leaves none open for the next. */
const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/**
 * Opens a case. `draw` paints its first voxels as one of OHIF's tools does; `end` leaves it, and keeps nothing. OHIF
 * multiplies the PET by `suvbw`, where that is not 0. The annotator gives no name, and was asked for it.
 */
export function opened(server = new Server(), suvbw = 1) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  const slices = Array.from({ length: SIZE }, () => new Uint8Array(SIZE ** 2));
  const eventTarget = new EventTarget();
  const confirm = vi.fn(() => true);
  const assign = vi.fn();
  const visit = vi.fn();
  const imageIds = [0, 1, 2, 3];
  const images = { framesLoaded: SIZE, framesProcessed: SIZE, imageIds };
  const ctImages = { ...images };
  const cornerstone = {
    eventTarget,
    Enums: { BlendModes: {} },
    cache: {
      getVolume: (id: string) => (id.endsWith('ct') ? ctImages : images),
      getImage: (n: number) => ({ voxelManager: { getScalarData: () => slices[n] }, referencedImageId: n }),
    },
    metaData: {
      get: (module: string, n: number) => (module === 'scalingModule' ? { suvbw } : plane(n)),
    },
    utilities: { HistoryMemo: { DefaultHistoryMemo: new History() } },
  };
  const cornerstoneTools = {
    Enums: { Events: { SEGMENTATION_DATA_MODIFIED: 'modified', SEGMENTATION_RENDERED: 'rendered' } },
    segmentation: {
      state: { getSegmentation: () => ({ representationData: { Labelmap: { imageIds: [0, 1, 2, 3] } } }) },
      segmentIndex: { setActiveSegmentIndex: () => {} },
      config: { color: { addColorLUT: () => 0 }, style: { setStyle: () => {} } },
    },
  };
  const window = { setTimeout, clearTimeout, setInterval, clearInterval, confirm, open: visit, cornerstone, cornerstoneTools };
  vi.stubGlobal('window', Object.assign(new EventTarget(), window, { location: { assign } }));
  vi.stubGlobal('requestAnimationFrame', () => 0);
  vi.stubGlobal('Element', class {});
  vi.stubGlobal('document', { querySelector: () => null });
  vi.stubGlobal('localStorage', storage());
  vi.stubGlobal('sessionStorage', storage());
  vi.stubGlobal('fetch', server.fetch);
  const createMap = vi.fn(async () => {});
  const services = {
    segmentationService: { createLabelmapForDisplaySet: createMap },
    displaySetService: { getActiveDisplaySets: () => [CT] },
    viewportGridService: { getState: () => ({ viewports: new Map() }) },
    cornerstoneViewportService: {
      EVENTS: {},
      getCornerstoneViewport: () => undefined,
      subscribe: () => ({ unsubscribe: () => {} }),
    },
  };
  const ohif = { servicesManager: { services }, commandsManager: undefined, extensionManager: undefined };
  const store = new Store();
  store.set({ nameAsked: true });
  const open = new OpenCase(ohif, store, new Viewports(ohif), { ...PET, imageIds });
  const lesions = new Lesions(open);
  const editor = new Editor(open, lesions);
  const finder = new Finder(open, lesions, editor);
  const casework = new Casework(open, lesions, editor, finder);
  const draw = (...first: number[]) => {
    slices[0]!.set(first);
    eventTarget.dispatchEvent(Object.assign(new Event('modified'), { detail: { segmentationId: 'petlesion' } }));
  };
  /** The same as a stroke that undo takes back. */
  const stroke = (before: number[], after: number[]) => {
    cornerstone.utilities.HistoryMemo.DefaultHistoryMemo.push({
      restoreMemo: (undo) => draw(...(undo ? before : after)),
    });
    draw(...after);
  };
  const map = () => Uint8Array.from(slices.flatMap((slice) => [...slice]));
  const end = () => {
    confirm.mockReturnValue(false);
    return casework.close();
  };
  ends.push(end);
  const parts = { open, store, lesions, editor, finder, casework };
  return { ...parts, server, draw, stroke, map, images, ctImages, createMap, confirm, assign, visit, end };
}

/** Lets time pass until a condition holds; what is packed and unpacked meanwhile takes its own time. */
export const until = (holds: () => boolean) =>
  vi.waitFor(
    () => {
      if (!holds()) {
        throw new Error(`never so: ${holds}`);
      }
    },
    { timeout: 30_000 },
  );
