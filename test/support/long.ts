/**
 * Whether to run the long forms (`npm run test:long`). `npm test` makes the same assertions with fewer repetitions or a cheaper substitute,
 * such as a copied package in place of one from the registry.
 */
export const isLong = process.env['TEST_LONG'] !== undefined
