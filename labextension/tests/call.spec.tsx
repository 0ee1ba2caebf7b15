/** @jest-environment jsdom */
import { Call } from '../src/panel/call';
import type { IPanelContext } from '../src/panel/context';
import type { IRow } from '../src/protocol';
import queries from '../../tests/protocol/queries.json';
import { drawn } from './drawn';
import type { IDrawn } from './drawn';
import { trans } from './fakes';

const ROW = queries.find(one => one.request.kind === 'missed')?.reply.result as unknown as IRow;
const NOT_STORED = 'Its answer is not in the cache.';

describe('Call', () => {
  let page: IDrawn;
  let closed: number;

  const context = { trans, ask: () => new Promise(() => undefined) } as unknown as IPanelContext;
  const draw = (row: Partial<IRow> = {}, missed = true): Promise<void> =>
    page.draw(
      <Call
        context={context}
        row={{ ...ROW, ...row }}
        missed={missed}
        close={() => {
          closed += 1;
        }}
        show={() => undefined}
      />
    );

  beforeEach(() => {
    page = drawn();
    closed = 0;
  });

  it('names what it closes: a call, no entry', async () => {
    await draw();
    const button = page.host.querySelector<HTMLElement>('.llmcache-Close');
    expect(button?.getAttribute('aria-label')).toBe('Close the call');
    expect(button?.title).toBe('Close the call');
    button?.click();
    expect(closed).toBe(1);
  });

  it('gives the focus that is in it back to the list when it goes', async () => {
    document.body.append(page.host);
    const list = (
      <div key="list" className="llmcache-List" tabIndex={0}>
        a row
      </div>
    );
    const withCall = (id: string): Promise<void> =>
      page.draw(
        <>
          {list}
          <Call context={context} row={{ ...ROW, id }} missed={false} close={() => undefined} show={() => undefined} />
        </>
      );
    const focused = (): string => document.activeElement?.className ?? '';
    await withCall('1');
    page.host.querySelector<HTMLElement>('.llmcache-Close')?.focus();
    await withCall('1');
    expect(focused()).toBe('llmcache-Close');
    await withCall('2');
    expect(focused()).toBe('llmcache-List');
    page.host.querySelector<HTMLElement>('.llmcache-Close')?.focus();
    await page.draw(list);
    expect(focused()).toBe('llmcache-List');
    await withCall('3');
    (document.activeElement as HTMLElement).blur();
    await page.draw(list);
    expect(document.activeElement).toBe(document.body);
    page.host.remove();
  });

  it('says that nothing is stored as long as that is so', async () => {
    await draw();
    expect(page.host.textContent).toContain(NOT_STORED);
    await draw({ stored: 1 });
    expect(page.host.textContent).not.toContain(NOT_STORED);
  });

  it('shows what was asked where nothing missed that is listed', async () => {
    await draw({ prompt: '<img src=x onerror=alert(1)>' }, false);
    expect(page.host.querySelector('pre')?.textContent).toBe('<img src=x onerror=alert(1)>');
    expect(page.host.querySelector('.llmcache-Why, img')).toBeNull();
    await draw({ prompt: '' }, false);
    expect(page.host.querySelector('pre')?.textContent).toBe('(no longer known)');
  });
});
