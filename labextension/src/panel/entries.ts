/** What the panel needs once there is a cache to show: fetched then, not with the page. */
export { Body } from './body';
export { Listing } from './listing';
