/** @jest-environment jsdom */
import queries from '../../tests/protocol/queries.json';
import { Why } from '../src/panel/why';
import type { Ask, IExplanation } from '../src/protocol';
import { drawn } from './drawn';
import type { IDrawn } from './drawn';
import { trans } from './fakes';

const EXPLANATION = queries.find(one => one.request.kind === 'why')?.reply.result as unknown as IExplanation;

describe('Why', () => {
  let page: IDrawn;
  let shown: string[];
  let asked: { kind: string; asks: object; answer: (result: unknown) => void; fail: (error: Error) => void }[];

  const ask = (kind: string, asks: object): Promise<unknown> =>
    new Promise((answer, fail) => asked.push({ kind, asks, answer, fail }));
  const context = { trans, ask: ask as unknown as Ask };
  const draw = (call = 'MISSED'): Promise<void> =>
    page.draw(<Why context={context} call={call} show={entry => shown.push(entry)} />);

  beforeEach(() => {
    page = drawn();
    shown = [];
    asked = [];
  });

  it('asks the kernel, and shows what it says', async () => {
    await draw();
    expect(asked).toMatchObject([{ kind: 'why', asks: { entry: 'MISSED' } }]);
    expect(page.host.textContent).toContain('Looking for the nearest entry');

    asked[0].answer({ ...EXPLANATION, asides: ['and 3 more differences'], warnings: ['A trap.'] });
    await draw();
    const text = page.host.textContent;
    expect(text).not.toContain('Looking');
    for (const part of [EXPLANATION.headline, EXPLANATION.reason, 'and 3 more differences', 'A trap.']) {
      expect(text).toContain(part);
    }
    expect(page.host.querySelector('li')?.textContent).toBe(
      'the prompt differs at character 19storedThe capital of Kenya?askedThe capital of Kenia?'
    );
    await page.press('Show the nearest entry');
    expect(shown).toEqual(['ENTRY']);
  });

  it('shows what was asked where nothing was stored', async () => {
    await draw();
    const change = { words: 'message 1 has another name', stored: null, asked: 'bob' };
    asked[0].answer({ ...EXPLANATION, differences: [change] });
    await draw();
    expect(page.host.querySelector('li')?.textContent).toBe('message 1 has another nameaskedbob');
  });

  it('shows markup as text', async () => {
    await draw();
    const hostile = '<img src=x onerror=alert(1)>';
    const change = { words: hostile, stored: hostile, asked: hostile };
    asked[0].answer({ headline: hostile, reason: hostile, nearest: null, differences: [change], asides: [hostile], warnings: [hostile] });
    await draw();
    expect(page.host.querySelector('img')).toBeNull();
    expect(page.host.textContent?.split(hostile)).toHaveLength(8);
    expect(page.host.querySelector('button')).toBeNull();
  });

  it('shows why there is no answer, and asks again', async () => {
    await draw();
    asked[0].fail(new Error('The store could not explain.'));
    await draw();
    expect(page.host.querySelector('[role=alert]')?.textContent).toContain('The store could not explain.');
    await page.press('Try again');
    expect(page.host.querySelector('[role=alert]')).toBeNull();
    asked[1].answer(EXPLANATION);
    await draw();
    expect(page.host.textContent).toContain(EXPLANATION.reason);
  });

  it('drops the answer for a call that is no longer shown', async () => {
    await draw();
    await draw('ANOTHER');
    asked[0].answer(EXPLANATION);
    await draw('ANOTHER');
    expect(page.host.textContent).not.toContain(EXPLANATION.reason);
    expect(asked[1].asks).toEqual({ entry: 'ANOTHER' });
  });
});
