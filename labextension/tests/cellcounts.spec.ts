import { KEY, read, remove, write } from '../src/cellcounts';
import type { IMetadata } from '../src/cellcounts';

class FakeModel implements IMetadata {
  readonly metadata = new Map<string, unknown>();
  writes = 0;

  getMetadata(key: string): unknown {
    return this.metadata.get(key);
  }

  setMetadata(key: string, value: unknown): void {
    this.writes += 1;
    this.metadata.set(key, value);
  }

  deleteMetadata(key: string): void {
    this.writes += 1;
    this.metadata.delete(key);
  }
}

describe('cellcounts', () => {
  const counts = { label: '[7]', hits: 2, misses: 1, failed: 0, seconds_saved: 3.14159 };
  let model: FakeModel;
  beforeEach(() => {
    model = new FakeModel();
  });

  it('saves counts, and nothing else', () => {
    write(model, counts);
    expect(model.getMetadata(KEY)).toEqual({ hits: 2, misses: 1, seconds_saved: 3.14 });
  });

  it('reads what it saved', () => {
    write(model, counts);
    expect(read(model)).toEqual({ label: '', hits: 2, misses: 1, failed: 0, seconds_saved: 3.14 });
  });

  it('does not touch a notebook that says so already', () => {
    write(model, counts);
    write(model, counts);
    expect(model.writes).toBe(1);
  });

  it.each([null, 'text', {}, { hits: '<b>' }, { hits: -1 }, { hits: NaN }, [1]])('takes %j for no counts', saved => {
    model.metadata.set(KEY, saved);
    expect(read(model)).toBeNull();
  });

  it('leaves nothing behind', () => {
    remove(model);
    expect(model.writes).toBe(0);
    write(model, counts);
    remove(model);
    expect(model.metadata.size).toBe(0);
  });
});
