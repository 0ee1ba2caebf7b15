import { Listing, PAGE } from '../src/panel/listing';
import type { Ask, IRow } from '../src/protocol';
import { settle } from './fakes';

const row = (number: number): IRow => ({
  id: `id-${number}`,
  prompt: `question ${number}`,
  answer: 'yes',
  model: 'small',
  cell: null,
  label: null,
  stored: number,
  last_used: null,
  took: null,
  tokens: null,
  hits: 0
});

interface IAsked {
  kind: string;
  asks: Record<string, unknown>;
  answer: (result: unknown) => Promise<void>;
  fail: (message: string) => Promise<void>;
}

describe('Listing', () => {
  let asked: IAsked[];
  let listing: Listing;

  beforeEach(() => {
    asked = [];
    const ask = (kind: string, asks: Record<string, unknown>): Promise<unknown> =>
      new Promise((resolve, reject) => {
        asked.push({
          kind,
          asks,
          answer: result => (resolve(result), settle()),
          fail: message => (reject(new Error(message)), settle())
        });
      });
    listing = new Listing(ask as unknown as Ask);
  });

  const page = (first: number, total: number): { rows: IRow[]; total: number } => ({
    rows: Array.from({ length: Math.min(PAGE, total - first) }, (_, index) => row(first + index)),
    total
  });
  const fill = async (total: number): Promise<void> => {
    listing.look(0, 20);
    await asked.at(-1)?.answer(page(0, total));
    await asked.at(-1)?.answer([['small', total]]);
  };

  it('fetches the page that is looked at, then the models', async () => {
    listing.look(0, 20);
    expect(asked[0].asks).toEqual({ text: null, model: null, sort: 'stored', descending: true, offset: 0, limit: PAGE });
    await asked[0].answer(page(0, 100_000));
    expect(listing.total).toBe(100_000);
    expect(listing.row(7)?.id).toBe('id-7');
    expect(asked[1].kind).toBe('models');
    await asked[1].answer([['small', 100_000]]);
    expect(listing.models).toEqual([['small', 100_000]]);
    expect(asked).toHaveLength(2);
  });

  it('fetches only what is looked at, one page at a time, the latest place', async () => {
    await fill(100_000);
    listing.look(30_000, 30_020);
    listing.look(50_000, 50_020);
    expect(asked).toHaveLength(3);
    await asked[2].answer(page(30_000, 100_000));
    expect(asked[3].asks.offset).toBe(50_000);
    expect(listing.row(30_001)?.id).toBe('id-30001');
    expect(listing.row(50_001)).toBeUndefined();
  });

  it('keeps what is shown until there is something newer', async () => {
    await fill(10);
    listing.refresh();
    expect(listing.row(3)?.id).toBe('id-3');
    await asked.at(-1)?.answer(page(0, 4));
    expect(listing.total).toBe(4);
    expect(listing.row(4)).toBeUndefined();
  });

  it('drops the answer to what is no longer asked', async () => {
    await fill(10);
    listing.show({ text: 'ken' });
    const first = asked.at(-1);
    listing.show({ text: 'kenya' });
    await first?.answer(page(0, 3));
    expect(listing.total).toBe(10);
    expect(asked.at(-1)?.asks.text).toBe('kenya');
    await asked.at(-1)?.answer(page(0, 1));
    expect(listing.total).toBe(1);
  });

  it('tells an error, keeps what it has, and asks again when told to', async () => {
    await fill(10);
    listing.refresh();
    await asked.at(-1)?.fail('The store could not list its entries.');
    expect(listing.error).toBe('The store could not list its entries.');
    expect(listing.row(3)?.id).toBe('id-3');
    const before = asked.length;
    listing.refresh();
    expect(asked).toHaveLength(before + 1);
    await asked.at(-1)?.answer(page(0, 10));
    expect(listing.error).toBeNull();
  });

  it("lists a cell's entries with what became of its calls", async () => {
    await fill(10);
    listing.show({ cell: 'a-cell' });
    expect(asked.at(-1)).toMatchObject({ kind: 'cell', asks: { cell: 'a-cell' } });
    const entries = [
      { id: 'id-3', hits: 2, misses: 0, failed: 0, row: row(3) },
      { id: 'id-9', hits: 0, misses: 1, failed: 0, row: null }
    ];
    await asked.at(-1)?.answer({ entries, total: 7 });
    expect(listing.total).toBe(2);
    expect(listing.more).toBe(5);
    expect(listing.row(0)?.id).toBe('id-3');
    expect(listing.row(1)).toMatchObject({ id: 'id-9', prompt: '', stored: null });
    expect(listing.outcome('id-3')?.hits).toBe(2);
    expect(listing.indexOf('id-3')).toBe(0);

    listing.show({ cell: null });
    await asked.at(-1)?.answer(page(0, 10));
    expect(listing.more).toBe(0);
    expect(listing.outcome('id-3')).toBeUndefined();
  });
});
