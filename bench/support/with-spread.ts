import { number } from './section.ts'
import type { Summary } from './statistics.ts'

/** The median, and how far the rounds lay apart. */
export function withSpread ({ median, min, max }: Summary): string {
  return `${number(median)} [${number(min)}-${number(max)}]`
}
