/**
 * Whether the long forms are asked for: `npm run test:long`. `npm test` keeps every promise with fewer repetitions or a nearer stand-in,
 * such as a copied package in place of one from the registry.
 */
export const isLong = process.env['TEST_LONG'] !== undefined
