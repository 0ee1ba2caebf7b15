import { Signal } from '@lumino/signaling';

import { Caches } from '../src/caches';
import type { ITracker } from '../src/caches';
import type { Document } from '../src/tokens';
import { FakeKernel, state, STATE } from './fakes';

class FakeDocument {
  kernel: (FakeKernel & { handleComms?: boolean }) | null = null;
  readonly disposed = new Signal<this, void>(this);
  readonly kernelChanged = new Signal<this, void>(this);

  constructor(readonly name: string) {}

  get sessionContext(): this {
    return this;
  }

  get session(): this {
    return this;
  }

  start(kernel: FakeKernel, handleComms = true): FakeKernel {
    this.kernel = Object.assign(kernel, { handleComms });
    this.kernelChanged.emit();
    return kernel;
  }

  get document(): Document {
    return this as unknown as Document;
  }
}

class FakeTracker {
  documents: FakeDocument[] = [];
  currentWidget: FakeDocument | null = null;
  readonly currentChanged = new Signal<this, FakeDocument | null>(this);
  readonly widgetAdded = new Signal<this, FakeDocument>(this);

  forEach(each: (document: FakeDocument) => void): void {
    this.documents.forEach(each);
  }

  has(document: FakeDocument): boolean {
    return this.documents.includes(document);
  }

  add(document: FakeDocument): FakeDocument {
    this.documents.push(document);
    this.widgetAdded.emit(document);
    return document;
  }
}

class FakeShell {
  currentWidget: FakeDocument | null = null;
  readonly currentChanged = new Signal<this, object>(this);

  activate(document: FakeDocument | null): void {
    this.currentWidget = document;
    this.currentChanged.emit({});
  }
}

describe('Caches', () => {
  let shell: FakeShell;
  let notebooks: FakeTracker;
  let consoles: FakeTracker;
  let caches: Caches;

  beforeEach(() => {
    shell = new FakeShell();
    notebooks = new FakeTracker();
    consoles = new FakeTracker();
    const trackers = [notebooks, consoles] as unknown as ITracker[];
    caches = new Caches(shell as unknown as ConstructorParameters<typeof Caches>[0], trackers);
  });

  const kernel = (id: string): FakeKernel => Object.assign(new FakeKernel(), { id });

  it('follows the notebook or console that is active, and stays with it while an editor is', () => {
    const notebook = notebooks.add(new FakeDocument('notebook'));
    const console = consoles.add(new FakeDocument('console'));
    shell.activate(notebook);
    expect(caches.document).toBe(notebook);
    shell.activate(console);
    expect(caches.document).toBe(console);
    shell.activate(notebook);
    expect(caches.document).toBe(notebook);
    shell.activate(new FakeDocument('an editor'));
    expect(caches.document).toBe(notebook);
  });

  it('has a cache for each kernel, and tells of the current one', () => {
    const one = notebooks.add(new FakeDocument('one'));
    const two = notebooks.add(new FakeDocument('two'));
    one.start(kernel('1'));
    const second = two.start(kernel('2'));
    shell.activate(one);
    let changes = 0;
    caches.changed.connect(() => changes++);
    second.announce(state());
    expect(changes).toBe(0);
    expect(caches.current?.state).toBeNull();
    shell.activate(two);
    expect(caches.current?.state).toEqual(STATE);
    expect(changes).toBe(1);
  });

  it('lets documents that share a kernel share its cache', () => {
    const notebook = notebooks.add(new FakeDocument('notebook'));
    const console = consoles.add(new FakeDocument('console'));
    notebook.start(kernel('1')).announce(state());
    console.start(kernel('1'), false);
    expect(caches.of(console.document)).toBe(caches.of(notebook.document));
    expect(caches.of(console.document)?.state).toEqual(STATE);
  });

  it('leaves a kernel whose comms it cannot have alone', () => {
    const notebook = notebooks.add(new FakeDocument('notebook'));
    const fake = notebook.start(kernel('1'), false);
    expect(caches.of(notebook.document)).toBeNull();
    expect(fake.targets.size).toBe(0);
  });

  it('forgets a kernel that is gone, and a document that is closed', () => {
    const notebook = notebooks.add(new FakeDocument('notebook'));
    const fake = notebook.start(kernel('1'));
    shell.activate(notebook);
    expect(caches.current).not.toBeNull();
    fake.disposed.emit();
    expect(caches.current).toBeNull();

    notebooks.documents = [];
    shell.currentWidget = null;
    notebook.disposed.emit();
    expect(caches.document).toBeNull();
  });
});
