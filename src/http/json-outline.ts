import { KeysError } from '../core/errors.ts'

const nestingMax = 16
// The validator lists every unknown field of an object before it refuses the object. Metadata has 2 KiB, which is room for 292 fields, or for a name of 2040
// characters; each of them may be written as an escape of six.
const fieldsMax = 300
const fieldNameMax = 16 * 1024

/**
 * The number of members of all objects in a JSON text, or why it is refused: it is nested too deeply, or an object has too many fields, or a field too long a
 * name. Read before parsing, so that code may recurse through the result and go through all fields of an object. Reading ends at the first such place.
 */
export function outlineOf (text: string): { readonly members: number, readonly refusal?: string } {
  // How many members the objects have that are open at a place, the innermost last.
  const counts: number[] = [0]
  let members = 0
  let began = 0
  let length = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (quoted) {
      if (character === '\\') {
        i++
      } else if (character === '"') {
        quoted = false
        length = i - began
      }
    } else if (character === '"') {
      quoted = true
      began = i + 1
    } else if (character === ':') {
      members++
      const count = (counts.pop() ?? 0) + 1
      if (count > fieldsMax) return { members, refusal: `An object in the body has more than ${fieldsMax} fields. Send only the fields that /openapi.json names for this path.` }
      if (length > fieldNameMax) return { members, refusal: `A field in the body has a name of more than ${fieldNameMax} characters. Send only the fields that /openapi.json names for this path.` }
      counts.push(count)
    } else if (character === '{' || character === '[') {
      if (counts.length > nestingMax) return { members, refusal: `The body is nested more than ${nestingMax} levels deep.` }
      counts.push(0)
    } else if (character === '}' || character === ']') {
      counts.pop()
    }
  }
  return { members }
}

/** The members of all objects in a parsed value. JSON.parse keeps one of two members with the same name: then these are fewer than in the text. */
export function membersIn (value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const values = Object.values(value)
  return (Array.isArray(value) ? 0 : values.length) + values.reduce((sum: number, one) => sum + membersIn(one), 0)
}

/** The refusal of a body as a whole; `detail` says why. */
export function ofBody (detail: string): KeysError {
  return new KeysError('invalid_request', { detail, faults: [{ pointer: '', detail }] })
}

/** The refusal of an object with two members of one name. */
export function doubled (): KeysError {
  return ofBody('An object in the body has the same field twice. Send each field once.')
}
