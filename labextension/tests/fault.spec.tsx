/** @jest-environment jsdom */
import { Fault } from '../src/panel/fault';
import { drawn } from './drawn';
import type { IDrawn } from './drawn';
import { trans } from './fakes';

describe('Fault', () => {
  let page: IDrawn;
  let fault: unknown;
  let retried: number;

  const element = (): JSX.Element => (
    <Fault
      trans={trans}
      render={() => {
        if (fault !== null) {
          throw fault;
        }
        return <p>12 entries</p>;
      }}
      retry={() => {
        retried += 1;
      }}
    />
  );

  beforeEach(() => {
    page = drawn();
    fault = null;
    retried = 0;
    jest.spyOn(console, 'error').mockImplementation(() => undefined); // where React tells of it, too
  });
  afterEach(() => jest.restoreAllMocks());

  it('shows what it is around', async () => {
    await page.draw(element());
    expect(page.host.textContent).toBe('12 entries');
  });

  it('shows a message in place of what has a fault, and tries again when told to', async () => {
    await page.draw(element());
    fault = new Error('rows is undefined');
    await page.draw(element());
    expect(page.host.textContent).toContain('The panel could not show this.');
    expect(page.host.querySelector('[role=alert]')?.textContent).toBe('rows is undefined');

    fault = null;
    await page.draw(element());
    expect(page.host.textContent).toContain('rows is undefined');
    await page.press('Try again');
    expect(page.host.textContent).toBe('12 entries');
    expect(retried).toBe(1);
  });

  it('shows the message again where the fault is still there, whatever was thrown', async () => {
    fault = 'no error at all';
    await page.draw(element());
    await page.press('Try again');
    expect(page.host.textContent).toContain('no error at all');
    expect(retried).toBe(1);
  });
});
