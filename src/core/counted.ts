/** A number with its noun: `1 key`, `2 keys`, `0 entries`. `plural`: the noun with an s. */
export function counted (count: number, singular: string, plural = `${singular}s`): string {
  return `${count} ${count === 1 ? singular : plural}`
}
