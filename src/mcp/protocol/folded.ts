const plain = /^[\x20-\x7e]*$/

/**
 * The form of a name that the most tolerant parsers compare: Go folds U+017F to "s" and U+212A to "k", others ignore underscores, hyphens and
 * spaces.
 */
export function folded (name: string): string {
  if (plain.test(name)) return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
  return name.normalize('NFKC').toUpperCase().toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '')
}
