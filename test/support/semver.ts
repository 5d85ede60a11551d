import { createRequire } from 'node:module'

interface Semver {
  /** The lowest version in a range. */
  minVersion (range: string): { readonly version: string } | null
  satisfies (version: string, range: string): boolean
}

// Fastify's own copy.
export const { minVersion, satisfies } = createRequire(import.meta.resolve('fastify'))('semver') as Semver
