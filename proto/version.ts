/** The version of daemon, client and wire, in one place; `package.json` is checked to agree. */
export const version = '0.1.0';
