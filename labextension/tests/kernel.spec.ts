import { KernelCache } from '../src/kernel';
import { FakeKernel, settle, state, STATE } from './fakes';

const reply = (request: Record<string, unknown>, rest: object): { content: { data: unknown } } => ({
  content: { data: { version: 1, id: request.id, kind: request.kind, ...rest } }
});

describe('KernelCache', () => {
  let kernel: FakeKernel;
  let cache: KernelCache;

  beforeEach(() => {
    kernel = new FakeKernel();
    cache = new KernelCache(kernel.connection);
  });

  const lastRequest = (): Record<string, unknown> => kernel.queries?.sent.at(-1) ?? {};

  it('says nothing to a kernel that has no cache', async () => {
    await settle();
    expect(kernel.comms).toEqual([]);
    expect(cache.state).toBeNull();
  });

  it('follows what the kernel pushes, from its announcement on', () => {
    const comm = kernel.announce(state());
    expect(cache.state).toEqual(STATE);
    comm.onMsg({ content: { data: state({ hits: 7 }) } });
    expect(cache.state?.hits).toBe(7);
  });

  it('finds a cache that was there before the page', async () => {
    kernel.known = { 'comm-of-old': { target_name: 'llmcache-events' } };
    cache = new KernelCache(kernel.connection);
    await settle();
    expect(lastRequest()).toEqual({ version: 1, id: 1, kind: 'state' });
    kernel.queries?.onMsg(reply(lastRequest(), { result: { state: STATE, comm: 'comm-of-old' } }));
    await settle();
    expect(cache.state).toEqual(STATE);

    kernel.comms.find(comm => comm.commId === 'comm-of-old')?.onMsg({ content: { data: state({ hits: 9 }) } });
    expect(cache.state?.hits).toBe(9);
  });

  it('does not know of a cache while the kernel is too busy to tell', async () => {
    let tell: (reply: unknown) => void = () => undefined;
    kernel.requestCommInfo = () => new Promise(resolve => (tell = resolve));
    cache = new KernelCache(kernel.connection);
    await settle();
    expect(cache.isUnknown).toBe(true);
    tell({ content: { status: 'ok', comms: {} } });
    await settle();
    expect(cache.isUnknown).toBe(false);
    expect(cache.state).toBeNull();
  });

  it('opens the queries comm once its subshell is there', async () => {
    let start = (): void => undefined;
    kernel.subshellStarted = new Promise(resolve => (start = resolve));
    kernel.announce(state());
    void cache.ask('models', {});
    await settle();
    expect(kernel.queries?.opened).toBe(false);
    start();
    await settle();
    expect(kernel.queries?.opened).toBe(true);
    expect(lastRequest().kind).toBe('models');
  });

  it('asks a kernel without subshells too', async () => {
    kernel.supportsSubshells = false;
    kernel.subshellStarted = new Promise(() => undefined);
    void cache.ask('models', {});
    await settle();
    expect(lastRequest().kind).toBe('models');
  });

  it('matches replies by id and kind', async () => {
    const first = cache.ask('models', {});
    const second = cache.ask('entry', { entry: 'abc' });
    await settle();
    const [one, two] = kernel.queries?.sent ?? [];
    kernel.queries?.onMsg(reply({ ...two, kind: 'models' }, { result: 'of another kind' }));
    kernel.queries?.onMsg(reply({ ...two, id: 99 }, { result: 'to nobody' }));
    kernel.queries?.onMsg(reply(two, { result: 'second' }));
    kernel.queries?.onMsg(reply(one, { result: 'first' }));
    expect(await Promise.all([first, second])).toEqual(['first', 'second']);
  });

  it('rejects with what the kernel says is wrong', async () => {
    const asked = cache.ask('entry', { entry: 'abc' });
    await settle();
    kernel.queries?.onMsg(reply(lastRequest(), { error: { code: 'refused', message: 'No such entry.' } }));
    await expect(asked).rejects.toMatchObject({ code: 'refused', message: 'No such entry.' });
  });

  it('tells which side to upgrade where the versions differ', () => {
    kernel.announce({ version: 2, kind: 'state', session: {} });
    expect(cache.state).toBeNull();
    expect(cache.problem).toContain("Upgrade it in JupyterLab's environment");
  });

  it('forgets the cache when the kernel restarts, and leaves no query hanging', async () => {
    kernel.announce(state());
    const asked = cache.ask('models', {});
    await settle();
    kernel.become('restarting');
    await expect(asked).rejects.toMatchObject({ code: 'gone' });
    expect(cache.state).toBeNull();

    kernel.announce(state({ entries: 0 }));
    expect(cache.state?.entries).toBe(0);
  });

  it('forgets the cache when the extension is unloaded', () => {
    const comm = kernel.announce(state());
    comm.onClose({});
    expect(cache.state).toBeNull();
  });

  it('asks again after the connection was away: what was pushed meanwhile is lost', async () => {
    kernel.announce(state());
    kernel.connectionStatusChanged.emit('connected');
    await settle();
    expect(lastRequest().kind).toBe('state');
  });

  it('tells of each change', async () => {
    await settle();
    let changes = 0;
    cache.changed.connect(() => changes++);
    kernel.announce(state());
    kernel.become('busy');
    expect(changes).toBe(2);
    expect(cache.isBusy).toBe(true);
  });
});
