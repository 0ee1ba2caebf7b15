import { LabIcon } from '@jupyterlab/ui-components';

// an answer, kept: a speech bubble over the layers of a store
const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
  <g class="jp-icon3" fill="none" stroke="#616161" stroke-width="1.3" stroke-linecap="round" stroke-linejoin="round">
    <path d="M3.6 1.8h8.8a1 1 0 0 1 1 1v3.6a1 1 0 0 1-1 1H8.2L5.6 9.2V7.4h-2a1 1 0 0 1-1-1V2.8a1 1 0 0 1 1-1z"/>
    <path d="M2.6 10.6c1.4 1 3.3 1.4 5.4 1.4s4-.4 5.4-1.4"/>
    <path d="M2.6 13c1.4 1 3.3 1.4 5.4 1.4s4-.4 5.4-1.4"/>
  </g>
</svg>`;

export const cacheIcon = new LabIcon({ name: 'llmcache-jupyter:cache', svgstr });
