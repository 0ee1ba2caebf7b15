import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';
import type { JSONObject } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { EVENTS, QUERIES, QueryError, readReply, readState, request, VERSION } from './protocol';
import type { Ask, Asks, IState, Kind, Result } from './protocol';

/** What of a kernel connection is used here, as JupyterLab 4.2 and newer have it. */
export type Connection = Pick<
  Kernel.IKernelConnection,
  | 'id'
  | 'status'
  | 'connectionStatus'
  | 'info'
  | 'isDisposed'
  | 'disposed'
  | 'statusChanged'
  | 'connectionStatusChanged'
  | 'registerCommTarget'
  | 'removeCommTarget'
  | 'requestCommInfo'
  | 'createComm'
  | 'hasComm'
> & { readonly supportsSubshells?: boolean };

type Comm = Kernel.IComm & { readonly subshellStarted?: Promise<void> };

interface IPending {
  kind: Kind;
  reply: PromiseDelegate<unknown>;
}

// A kernel that is slow to start a subshell is asked without one
const SUBSHELL_SECONDS = 5;

/**
 * The cache of one kernel, as far as the kernel tells.
 *
 * - `state` is null where the kernel has no cache, or has not told yet.
 * - `problem` is why they don't understand each other, or null.
 * - `ask` is answered while a cell runs, where the kernel has subshells.
 */
export class KernelCache {
  constructor(readonly kernel: Connection) {
    kernel.registerCommTarget(EVENTS, (comm, message) => this._follow(comm, message.content.data));
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.connectionStatusChanged.connect(this._onConnection, this);
    void this._find();
  }

  /** Whether the kernel was too busy yet to tell whether it has a cache. */
  get isUnknown(): boolean {
    return this._isUnknown && this._state === null;
  }

  get state(): IState | null {
    return this._state;
  }

  get problem(): string | null {
    return this._problem;
  }

  get isBusy(): boolean {
    return this.kernel.status === 'busy';
  }

  get isDead(): boolean {
    return this.kernel.isDisposed || this.kernel.status === 'dead';
  }

  /** The state, the problem or the kernel's status changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  readonly ask: Ask = async <K extends Kind>(kind: K, asks: Asks<K>): Promise<Result<K>> => {
    const comm = await this._openQueries();
    const id = ++this._asked;
    const pending: IPending = { kind, reply: new PromiseDelegate<unknown>() };
    this._pending.set(id, pending);
    comm.send(request(id, kind, asks) as JSONObject);
    return pending.reply.promise as Promise<Result<K>>;
  };

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._forget();
    Signal.clearData(this);
  }

  /** Look for a cache that was there before this page was. A kernel that runs a cell tells when that ends. */
  private async _find(): Promise<void> {
    try {
      await this.kernel.info;
      const reply = await this.kernel.requestCommInfo({ target_name: EVENTS });
      const isThere = reply.content.status === 'ok' && Object.keys(reply.content.comms).length > 0;
      if (isThere && this._state === null && !this._isDisposed) {
        await this._catchUp();
      }
    } catch (error) {
      this._fail(error);
    } finally {
      this._isUnknown = false;
      this._changed.emit();
    }
  }

  /** Ask for the state, and follow it from here on. */
  private async _catchUp(): Promise<void> {
    const { state, comm } = await this.ask('state', {});
    if (!this.kernel.hasComm(comm)) {
      this._follow(this.kernel.createComm(EVENTS, comm), null);
    }
    this._set(state);
  }

  private _follow(comm: Kernel.IComm, data: unknown): void {
    const read = (message: unknown): void => {
      try {
        this._set(readState(message));
      } catch (error) {
        this._fail(error);
      }
    };
    comm.onMsg = message => read(message.content.data);
    comm.onClose = () => {
      this._forget();
      this._changed.emit();
    };
    if (data !== null) {
      read(data);
    }
  }

  /** The queries comm. It is opened once its subshell is there, or it would wait for each cell's end. */
  private _openQueries(): Promise<Comm> {
    this._queries ??= this._newQueries().catch(error => {
      this._queries = null;
      throw error;
    });
    return this._queries;
  }

  private async _newQueries(): Promise<Comm> {
    await this.kernel.info;
    const comm: Comm = this.kernel.createComm(QUERIES);
    if (this.kernel.supportsSubshells && comm.subshellStarted) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise(resolve => (timer = setTimeout(resolve, 1000 * SUBSHELL_SECONDS)));
      await Promise.race([comm.subshellStarted, late]);
      clearTimeout(timer);
    }
    comm.onMsg = message => this._replied(message);
    comm.onClose = () => {
      this._forget();
      this._changed.emit();
    };
    comm.open({ version: VERSION });
    return comm;
  }

  private _replied(message: KernelMessage.ICommMsgMsg): void {
    try {
      const reply = readReply(message.content.data);
      const pending = this._pending.get(reply.id);
      if (pending === undefined || pending.kind !== reply.kind) {
        return;
      }
      this._pending.delete(reply.id);
      if (reply.error) {
        pending.reply.reject(new QueryError(reply.error.code, reply.error.message));
      } else {
        pending.reply.resolve(reply.result);
      }
    } catch (error) {
      this._fail(error);
    }
  }

  private _set(state: IState): void {
    this._state = state;
    this._problem = null;
    this._changed.emit();
  }

  private _fail(error: unknown): void {
    if (error instanceof QueryError && error.code === 'version') {
      this._problem = error.message;
      this._refuse(error);
      this._changed.emit();
    } else if (!(error instanceof QueryError && error.code === 'gone') && !this.isDead && !this._isDisposed) {
      console.warn('llmcache-jupyter:', error);
    }
  }

  private _forget(): void {
    this._state = null;
    this._problem = null;
    this._queries = null;
    this._refuse(new QueryError('gone', 'The kernel has no cache any more.'));
  }

  private _refuse(error: QueryError): void {
    const pending = [...this._pending.values()];
    this._pending.clear();
    for (const { reply } of pending) {
      reply.reject(error);
    }
  }

  private _onStatus(): void {
    if (['restarting', 'autorestarting', 'terminating', 'dead'].includes(this.kernel.status)) {
      this._forget();
    }
    this._changed.emit();
  }

  /** What was pushed while the connection was away is lost. */
  private _onConnection(): void {
    if (this.kernel.connectionStatus === 'connected' && this._state !== null) {
      this._catchUp().catch(error => this._fail(error));
    }
  }

  private _isUnknown = true;
  private _state: IState | null = null;
  private _problem: string | null = null;
  private _queries: Promise<Comm> | null = null;
  private readonly _pending = new Map<number, IPending>();
  private _asked = 0;
  private _isDisposed = false;
  private readonly _changed = new Signal<this, void>(this);
}
