import type { IRenderMime } from '@jupyterlab/rendermime';

const LOADED = 'img, picture, source, audio, video, track, iframe, object, embed, link, svg image, input[type=image]';
const TEMPTING = ['data-commandlinker-command', 'data-commandlinker-args'];

/**
 * JupyterLab's sanitiser, and nothing is fetched from anywhere either.
 *
 * A model's answer may be written by someone else: a picture's address tells its server what was read, and a
 * JupyterLab command behind a button does what the button doesn't say.
 */
export class QuietSanitizer implements IRenderMime.ISanitizer {
  constructor(private readonly _inner: IRenderMime.ISanitizer) {}

  sanitize(dirty: string, options?: IRenderMime.ISanitizerOptions): string {
    // a parsed document of its own loads nothing
    const parsed = new DOMParser().parseFromString(this._inner.sanitize(dirty, options), 'text/html');
    for (const node of parsed.body.querySelectorAll(LOADED)) {
      node.replaceWith(node.getAttribute('alt') || node.getAttribute('src') || '');
    }
    for (const node of parsed.body.querySelectorAll('*')) {
      TEMPTING.forEach(name => node.removeAttribute(name));
      node.removeAttribute('background');
      if (/url\s*\(|image\s*\(|image-set/i.test(node.getAttribute('style') ?? '')) {
        node.removeAttribute('style');
      }
    }
    return parsed.body.innerHTML;
  }
}
