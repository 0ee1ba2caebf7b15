/** A kernel that does as it is told, and a translator that only fills in. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import type { Connection } from '../src/kernel';
import type { IState } from '../src/protocol';

const fill = (text: string, args: unknown[]): string =>
  text.replace(/%(\d)/g, (_, place: string) => String(args[Number(place) - 1]));

export const trans = {
  __: (text: string, ...args: unknown[]) => fill(text, args),
  _n: (one: string, many: string, count: number, ...args: unknown[]) => fill(count === 1 ? one : many, [count, ...args])
} as unknown as TranslationBundle;

export const STATE: IState = {
  active: true,
  mode: 'on',
  entries: 12,
  maxsize: 500,
  hits: 3,
  misses: 1,
  seconds_saved: 3.14,
  tokens_saved: 340,
  store: null,
  shared: false,
  failing: false,
  notes: [],
  changes: 0,
  cells: {}
};

export interface IFakeComm {
  commId: string;
  target: string;
  opened: boolean;
  sent: Record<string, unknown>[];
  onMsg: (message: { content: { data: unknown } }) => void;
  onClose: (message: unknown) => void;
  send: (data: Record<string, unknown>) => void;
  open: (data: unknown) => void;
  subshellStarted?: Promise<void>;
}

/** A kernel connection. What the front end sends is in its comms; what the kernel says is said by the test. */
export class FakeKernel {
  readonly id = 'kernel-1';
  status = 'idle';
  connectionStatus = 'connected';
  isDisposed = false;
  supportsSubshells = true;
  /** The comms that the kernel says there are. */
  known: Record<string, { target_name: string }> = {};
  readonly comms: IFakeComm[] = [];
  readonly targets = new Map<string, (comm: IFakeComm, message: unknown) => void>();
  readonly info = Promise.resolve({});
  readonly disposed = new Signal<this, void>(this);
  readonly statusChanged = new Signal<this, string>(this);
  readonly connectionStatusChanged = new Signal<this, string>(this);
  subshellStarted: Promise<void> = Promise.resolve();

  get connection(): Connection {
    return this as unknown as Connection;
  }

  registerCommTarget(target: string, callback: (comm: IFakeComm, message: unknown) => void): void {
    this.targets.set(target, callback);
  }

  removeCommTarget(target: string): void {
    this.targets.delete(target);
  }

  requestCommInfo(): Promise<unknown> {
    return Promise.resolve({ content: { status: 'ok', comms: this.known } });
  }

  createComm(target: string, commId = `comm-${this.comms.length}`): IFakeComm {
    const comm: IFakeComm = {
      commId,
      target,
      opened: false,
      sent: [],
      onMsg: () => undefined,
      onClose: () => undefined,
      send: data => comm.sent.push(data),
      open: () => {
        comm.opened = true;
      },
      subshellStarted: this.subshellStarted
    };
    this.comms.push(comm);
    return comm;
  }

  hasComm(commId: string): boolean {
    return this.comms.some(comm => comm.commId === commId);
  }

  /** The kernel opens its events comm. */
  announce(data: unknown): IFakeComm {
    const comm = this.createComm('llmcache-events');
    this.targets.get('llmcache-events')?.(comm, { content: { data } });
    return comm;
  }

  become(status: string): void {
    this.status = status;
    this.statusChanged.emit(status);
  }

  get queries(): IFakeComm | undefined {
    return this.comms.find(comm => comm.target === 'llmcache-queries');
  }
}

export const state = (changes: Partial<IState> = {}): object => ({
  version: 1,
  kind: 'state',
  session: { ...STATE, ...changes }
});

/** Lets everything happen that is due. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) {
    await Promise.resolve();
  }
};
