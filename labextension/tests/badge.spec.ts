/** @jest-environment jsdom */
import type { Badge, IBadgeOptions } from '../src/badge';
import type { ICellEntry } from '../src/protocol';
import { settle, trans } from './fakes';

const ENTRY: ICellEntry = { id: 'id-1', hits: 0, misses: 1, failed: 0, row: null };

describe('Badge', () => {
  let answer: (found: { entries: ICellEntry[]; total: number }) => Promise<void>;
  let badge: Badge;
  let list: HTMLElement;

  beforeEach(async () => {
    jest.useFakeTimers();
    (globalThis as Record<string, unknown>).DragEvent ??= MouseEvent; // jsdom has none, Lumino wants one
    const { Badge } = await import('../src/badge');
    const entries: IBadgeOptions['entries'] = () =>
      new Promise(resolve => {
        answer = found => (resolve(found), settle());
      });
    badge = new Badge({ trans, open: () => undefined, entries });
    list = badge.node.querySelector('[role=tooltip]') as HTMLElement;
    badge.node.dispatchEvent(new Event('mouseenter'));
    jest.runAllTimers();
  });
  afterEach(() => jest.useRealTimers());

  it('lists the entries while it is hovered', async () => {
    await answer({ entries: [ENTRY], total: 3 });
    expect(list.hidden).toBe(false);
    expect(list.textContent).toBe('1 miss(not in the cache)');
    badge.node.dispatchEvent(new Event('mouseleave'));
    expect(list.hidden).toBe(true);
  });

  it('lists nothing when the answer comes after it was left', async () => {
    badge.node.dispatchEvent(new Event('mouseleave'));
    await answer({ entries: [ENTRY], total: 1 });
    expect(list.hidden).toBe(true);
  });
});
