/** The browser finds it beside the page (daemon/web/assets.ts); the types are the package's. */
export { default } from 'uplot';
