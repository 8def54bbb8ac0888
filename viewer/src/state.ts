/** What the panel shows, and a store that tells React of changes. */
import type { Vector } from './nrrd';
import type { Order } from './order';
import type { Info, Lesion, OptionValue, Reference, Reservation } from './server';
import type { Tool } from './tools';

export interface Problem {
  /** What could not be done; the next attempt at it takes the place of this problem. */
  asked: string;
  text: string;
  /** Makes the request again, where that can help. */
  retry?: () => Promise<void>;
  /** Whether that is done as soon as the server answers. */
  again?: boolean;
}

export interface State {
  info?: Info;
  holder?: Reservation;
  /** Whether the server can read the PET as SUV. */
  ready: boolean;
  /** Share of the PET's images that have arrived, 0 to 1. */
  loaded: number;
  /** What takes time just now. */
  busy: string;
  /** Whether the server does not answer. */
  away: boolean;
  problems: readonly Problem[];
  /** What was done, and what has to be known about it: a line each. */
  note: string;
  model: string;
  /** Values that were changed, by model. */
  options: Record<string, Record<string, OptionValue>>;
  /** Of the PET, as the server reads it; empty before it says so. */
  tracer: string;
  /** What the annotator says in its place, for all models. */
  otherTracer: string;
  /** Model whose lesions the annotator began with. */
  preLabel: string;
  lesions: readonly Lesion[];
  order: Order;
  measuring: boolean;
  reference?: Reference;
  /** Centre of the reference sphere that the annotator has placed: models go by it, and look for none. */
  sphere?: Vector;
  /** Whether all that the server found ends at the threshold of the reference that is shown; a network is only shown it. */
  endThere: boolean;
  active: number;
  marked: ReadonlySet<number>;
  tool: Tool;
  radius: number;
  fromSuv: number;
  /** What OHIF shows where the SUV is 1: another number than 1 where it is wrong, 0 where there is no SUV. */
  perSuv: number;
  /** Upper SUV of the window of the PET, if it is one of the presets; else 0. */
  preset: number;
  opacity: number;
  unsaved: boolean;
  /** Tag of the label that was stored last, or that the case goes on from; empty where there is none. */
  stored: string;
  comment: string;
  /** How the next case is to be chosen; empty where nothing was ever said. */
  strategy: string;
  name: string;
  /** Whether the name was asked for, which is done once. */
  nameAsked: boolean;
}

export const initial: State = {
  ready: false,
  loaded: 0,
  busy: '',
  away: false,
  problems: [],
  note: '',
  model: '',
  options: {},
  tracer: '',
  otherTracer: '',
  preLabel: '',
  lesions: [],
  order: { column: 'volume', down: true },
  measuring: false,
  endThere: false,
  active: 0,
  marked: new Set(),
  tool: 'window',
  radius: 8,
  fromSuv: 3,
  perSuv: 0,
  preset: 0,
  opacity: 0.5,
  unsaved: false,
  stored: '',
  comment: '',
  strategy: '',
  name: '',
  nameAsked: false,
};

export class Store {
  private listeners = new Set<() => void>();
  state: State = initial;

  set = (values: Partial<State>): void => {
    this.state = { ...this.state, ...values };
    this.listeners.forEach((listener) => listener());
  };

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}
