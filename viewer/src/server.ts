/** The annotation server's endpoints, on the origin of this page. */
import type { Vector } from './nrrd';
import { texts } from './texts';

export class ServerError extends Error {}
/** The server does not answer; nothing was lost, and the request can be made again. */
export class ServerAway extends ServerError {}

export type OptionValue = string | number | boolean;
export type OptionSpec = OptionValue | string[];
export interface Model {
  description: string;
  type: string;
  config: Record<string, OptionSpec>;
}
export interface TrainStats {
  waiting_labels?: number;
  retrain_after?: number;
  stage?: string;
  /** Of the network in service, where a round published it. */
  published_version?: number | null;
  [key: string]: unknown;
}
export interface Info {
  version: string;
  models: Record<string, Model>;
  strategies: Record<string, { description: string }>;
  train_stats: Record<string, TrainStats>;
  datastore: { total: number; completed: number };
}
export interface LesionRecord {
  id: number;
  value?: number;
  volume_ml: number;
  suv_max: number;
  suv_mean: number;
  suv_peak: number;
  centroid_mm: [number, number, number];
  location: string | null;
  confidence: number | null;
}
/** A lesion as the panel lists it: with its value in the labelmap. */
export interface Lesion extends LesionRecord {
  value: number;
}
export interface Reference {
  organ: string;
  mean: number | null;
  threshold: number | null;
  spheres: { center_mm: [number, number, number]; radius_mm: number }[];
}
export interface Measured {
  lesions: LesionRecord[];
  totals: { n_lesions: number; ttv_ml: number; tlu: number; suv_max: number | null; suv_peak: number | null };
  reference: Reference;
  warnings: string[];
  /** The factor multiplies the rescaled values of the PET; null where it differs between slices. */
  suv: { factor: number | null; warnings: string[] };
  threshold_suv: number | null;
  method: { name: string; version: string; weights_sha256: string | null };
  grid?: { shape: [number, number, number]; affine: number[][] };
}
export interface LabelInfo {
  version: number;
  annotator: string;
  time: string;
  comment?: string;
  pre_label?: string;
  /** Of a pre-label that a batch has stored: which model made it. */
  model?: string;
  /** Of work on it. */
  seconds?: number;
}
export interface CaseInfo {
  study_uid: string;
  tracer: string;
  problem?: string;
  labels: Record<string, LabelInfo>;
}
export interface Reservation {
  client: string;
  until: number;
  own: boolean;
}
export interface NextCase {
  id?: string;
  reason?: string;
  study_uid?: string;
}

/** What a reverse proxy answers, without a sentence of the server's, while that does not run. */
const GATEWAY = [502, 503, 504];

async function ask(path: string, init?: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new ServerAway(texts.away);
  }
  if (answer.ok) {
    return answer;
  }
  const detail = await answer.json().then(
    (document) => document.detail,
    () => undefined,
  );
  if (detail === undefined && GATEWAY.includes(answer.status)) {
    throw new ServerAway(texts.away);
  }
  throw new ServerError(typeof detail === 'string' ? detail : texts.refused(answer.status));
}

const query = (values: Record<string, string>) => new URLSearchParams(values).toString();

export const info = async (): Promise<Info> => (await ask('/info/')).json();

export const caseInfo = async (image: string): Promise<CaseInfo> =>
  (await ask(`/datastore/image/info?${query({ image })}`)).json();

/** Reserves a case, in the place of a client of the same person. */
export const reserve = async (image: string, client_id: string, instead_of: string): Promise<Reservation> =>
  (await ask(`/lesions/reservation?${query({ image, client_id, instead_of })}`, { method: 'PUT' })).json();

export const measure = async (image: string, label: Blob): Promise<Measured> =>
  (await ask(`/lesions/measure?${query({ image })}`, { method: 'POST', body: label })).json();

/** The reference of a sphere in the liver at a world point; the tracer is that of the image where it is empty. */
export const reference = async (image: string, [x, y, z]: Vector, tracer: string): Promise<Reference & { warnings: string[] }> =>
  (await ask(`/lesions/reference?${query({ image, x: String(x), y: String(y), z: String(z), tracer })}`)).json();

export const storedLabel = async (image: string, tag: string): Promise<ArrayBuffer> =>
  (await ask(`/lesions/label?${query({ image, tag })}`)).arrayBuffer();

/** Address of the PDF of a stored label; the tracer is that of the image where it is empty. */
export const reportOf = (image: string, tag: string, tracer: string): string =>
  `/lesions/report?${query({ image, tag, tracer })}`;

/** Runs a model; the label, and what was measured. */
export async function infer(
  model: string,
  image: string,
  params: Record<string, unknown>,
): Promise<{ label: ArrayBuffer; result: Measured }> {
  const body = new FormData();
  body.set('params', JSON.stringify({ ...params, result_extension: '.nrrd', result_dtype: 'uint8', result_compress: true }));
  const answer = await ask(`/infer/${encodeURIComponent(model)}?${query({ image, output: 'all' })}`, { method: 'POST', body });
  const parts = await answer.formData();
  const result = parts.get('params');
  const text = typeof result === 'string' ? result : await (result as File).text();
  return { label: await (parts.get('image') as File).arrayBuffer(), result: JSON.parse(text) };
}

export async function submit(image: string, tag: string, label: Blob, params: Record<string, unknown>): Promise<void> {
  const body = new FormData();
  body.set('label', label, 'label.nrrd');
  body.set('params', JSON.stringify(params));
  await ask(`/datastore/label?${query({ image, tag })}`, { method: 'PUT', body });
}

export async function nextCase(strategy: string, client_id: string): Promise<NextCase> {
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ client_id });
  const answer = await ask(`/activelearning/${encodeURIComponent(strategy)}`, { method: 'POST', headers, body });
  return (await answer.json()) ?? {};
}
