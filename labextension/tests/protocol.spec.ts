import queries from '../../tests/protocol/queries.json';
import pushed from '../../tests/protocol/state.json';
import { QueryError, readReply, readState, request, VERSION } from '../src/protocol';
import type { Asks, IReply, IState, Kind } from '../src/protocol';

interface IExchange {
  request: { id: number; kind: Kind; version: number } & Asks<Kind>;
  reply: IReply;
}

const exchanges = queries as unknown as IExchange[];

describe('protocol', () => {
  it('reads the state that the kernel pushes', () => {
    const state: IState = readState(pushed);
    expect(state).toEqual(pushed.session);
    expect(state.cells['a-cell'].misses).toBe(2);
  });

  const understood = exchanges.filter(one => one.reply.error === undefined);
  it.each(understood)('writes the request $request.kind as the kernel reads it', exchange => {
    const { id, kind, version, ...asks } = exchange.request;
    expect(version).toBe(VERSION);
    expect(request(id, kind, asks as Asks<Kind>)).toEqual(exchange.request);
  });

  it.each(exchanges)('reads the reply to $request.id', ({ reply }) => {
    expect(readReply(reply)).toEqual(reply);
  });

  it.each([
    [2, /kernel's speaks 2\. Upgrade it in JupyterLab's environment .* reload the page/],
    [0, /kernel's speaks 0\. Upgrade it in the kernel's environment .* restart the kernel/],
    [undefined, /kernel's speaks undefined\. Upgrade it in the kernel's environment/]
  ])('tells which side to upgrade when the kernel speaks %s', (version, message) => {
    expect(() => readState({ version, kind: 'state', session: {} })).toThrow(message);
    expect(() => readReply({ version })).toThrow(QueryError);
  });

  it('refuses what is no state', () => {
    expect(() => readState({ version: VERSION, kind: 'song' })).toThrow('song');
    expect(() => readState(null)).toThrow(QueryError);
  });
});
