import { rules } from '../core/key-rules.ts'

// Look-around, properties of Unicode and escapes of code points: Go, Rust, Python and others read them differently, or not at all.
const onlyHere = /\(\?[=!<]|\\[pPu]/

const words: ReadonlyMap<string, string> = new Map(Object.values(rules).flatMap((rule) => typeof rule === 'object' ? [[rule.pattern, rule.says] as const] : []))

/**
 * Replaces patterns that only some languages can read by words: a generated client that checks what it sends would fail on each request. The service
 * checks all the same. Changes `value`.
 */
export function withoutForeignPatterns (value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const schema = value as { pattern?: unknown, description?: unknown }
  if (typeof schema.pattern === 'string' && onlyHere.test(schema.pattern)) {
    const says = words.get(schema.pattern)
    delete schema.pattern
    if (says !== undefined) schema.description = [schema.description, `${says.charAt(0).toUpperCase()}${says.slice(1)}.`].filter(Boolean).join(' ')
  }
  for (const member of Object.values(value)) withoutForeignPatterns(member)
}
