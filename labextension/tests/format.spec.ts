import { badge, clearQuestion, moment, number, outcome, rate, savings, seconds, statusLine } from '../src/format';
import { STATE, trans } from './fakes';

describe('format', () => {
  it.each([
    [null, '–'],
    [0, '0.0 s'],
    [0.00024, '0.24 ms'],
    [0.03, '30 ms'],
    [0.8, '0.8 s'],
    [42.4, '42 s'],
    [720, '12 min'],
    [12600, '3.5 h'],
    [181440, '2.1 d']
  ])('writes %s seconds as %s', (value, text) => {
    expect(seconds(value)).toBe(text);
  });

  it('writes numbers with thin thousands', () => {
    expect(number(12500)).toBe('12\u202f500');
    expect(number(1234567)).toBe('1\u202f234\u202f567');
    expect(number(0)).toBe('0');
    expect(number(null)).toBe('–');
  });

  it('writes no rate before the first call', () => {
    expect(rate(0, 0)).toBe('');
    expect(rate(3, 1)).toBe('75 %');
  });

  it('says 100 % only of all, and 0 % only of none', () => {
    expect([rate(5, 0), rate(457, 2), rate(1, 900), rate(0, 9)]).toEqual(['100 %', '99 %', '1 %', '0 %']);
  });

  it("writes today's moments without the date", () => {
    const now = new Date(2026, 2, 1, 15, 0);
    expect(moment(new Date(2026, 2, 1, 9, 5).getTime() / 1000, now)).toBe('09:05');
    expect(moment(new Date(2026, 1, 28, 9, 5).getTime() / 1000, now)).toBe('2026-02-28 09:05');
    expect(moment(null, now)).toBe('–');
  });

  it('says what calls led to, with plurals, and leaves out what was not', () => {
    expect(outcome({ hits: 2, misses: 1, failed: 0 }, trans)).toBe('2 hits · 1 miss');
    expect(outcome({ hits: 0, misses: 2, failed: 1 }, trans)).toBe('2 misses · 1 failed');
  });

  it('says what a cell saved, where that is known', () => {
    const counts = { label: '[1]', hits: 2, misses: 1, failed: 0, seconds_saved: 3.14 };
    expect(badge(counts, trans)).toBe('2 hits · 1 miss · saved 3.1 s');
    expect(badge({ ...counts, seconds_saved: null }, trans)).toBe('2 hits · 1 miss');
  });

  it.each([
    [{}, 'LLM cache 75 % · 12/500'],
    [{ maxsize: null }, 'LLM cache 75 % · 12'],
    [{ hits: 0, misses: 0 }, 'LLM cache · 12/500'],
    [{ mode: 'replay' as const }, 'LLM cache 75 % · 12/500 · replay'],
    [{ failing: true, entries: null }, '⚠ LLM cache 75 % · –/500'],
    [{ active: false }, 'LLM cache off']
  ])('sums up %j as %s', (changes, line) => {
    expect(statusLine({ ...STATE, ...changes }, trans)).toBe(line);
  });

  it('asks before all entries go, and names whom else it affects', () => {
    expect(clearQuestion(STATE, trans)).toBe('Remove all 12 entries? This cannot be undone.');
    const shared = { ...STATE, entries: 1, shared: true, store: 'redis://host/0?namespace=team' };
    expect(clearQuestion(shared, trans)).toContain('1 entry? Everyone who uses redis://host/0?namespace=team loses');
  });

  it('says what was saved, unknown figures left out', () => {
    expect(savings(STATE, trans)).toBe('3 hits · 1 miss · saved 3.1 s, 340 tokens');
    expect(savings({ ...STATE, tokens_saved: null, seconds_saved: null }, trans)).toBe('3 hits · 1 miss');
  });
});
