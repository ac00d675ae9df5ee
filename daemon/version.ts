/** As in package.json: a test says so. Written here because a bundle has no package.json. */
export const VERSION = '0.1.0';
