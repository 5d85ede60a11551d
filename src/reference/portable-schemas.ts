import { rules } from '../core/key-rules.ts'

// Look-around, Unicode properties and code point escapes: Go, Rust, Python and others do not support them, or in another way.
const onlyHere = /\(\?[=!<]|\\[pPu]/

const words: ReadonlyMap<string, string> = new Map(Object.values(rules).flatMap((rule) => typeof rule === 'object' ? [[rule.pattern, rule.says] as const] : []))

interface Portable {
  pattern?: unknown
  description?: unknown
  anyOf?: unknown
  type?: unknown
}

/**
 * Changes schemas so that generators for other languages can use them. A pattern that only some languages support becomes a text: a generated client that validates its
 * requests would fail otherwise. A union with null becomes a nullable type. Modifies `value`.
 */
export function makePortable (value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const schema = value as Portable
  const kinds = Array.isArray(schema.anyOf) ? schema.anyOf as Portable[] : []
  const other = kinds.find(({ type }) => type !== 'null')
  if (kinds.length === 2 && kinds.some(({ type }) => type === 'null') && typeof other?.type === 'string') {
    delete schema.anyOf
    Object.assign(schema, { ...other, ...schema, type: [other.type, 'null'] })
  }
  if (typeof schema.pattern === 'string' && onlyHere.test(schema.pattern)) {
    const says = words.get(schema.pattern)
    delete schema.pattern
    if (says !== undefined) schema.description = [schema.description, `${says.charAt(0).toUpperCase()}${says.slice(1)}.`].filter(Boolean).join(' ')
  }
  for (const member of Object.values(value)) makePortable(member)
}
