import type { FastifySchemaValidationError } from 'fastify'
import { counted } from '../core/counted.ts'
import type { Fault } from '../core/errors.ts'
import { rules } from '../core/key-rules.ts'

const faultsMax = 20
const saidByPattern = new Map<unknown, string>(Object.values(rules).flatMap((rule) => typeof rule === 'object' ? [[rule.pattern, rule.says]] : []))

/** What a validator found, with a JSON pointer each; `members` are those that a body may have. Names that a client made up are shown only where they can be no secret. */
export function faultsOfValidation (errors: readonly FastifySchemaValidationError[], members: readonly string[] = []): readonly Fault[] {
  const telling = errors.filter((error) => !isOfOtherBranch(error))
  const faults = (telling.length > 0 ? telling : errors).flatMap((error) => faultsOf(error, members))
  const seen = new Set<string>()
  return faults.filter(({ pointer }) => !seen.has(pointer) && seen.add(pointer)).slice(0, faultsMax)
}

// A union reports one error per branch. Errors of the null branch, and of the union itself, add nothing to the others.
function isOfOtherBranch ({ keyword, params }: FastifySchemaValidationError): boolean {
  return keyword === 'anyOf' || (keyword === 'type' && (params['type'] === 'null' || params['type'] === 'undefined'))
}

function faultsOf ({ keyword, instancePath, params, message = 'is not valid' }: FastifySchemaValidationError, members: readonly string[]): Fault[] {
  if (keyword === 'required') return names(params['requiredProperties']).map((name) => faultAt(`${instancePath}/${name}`, 'Required.'))
  if (keyword === 'additionalProperties' || keyword === 'unevaluatedProperties') {
    return names(params['additionalProperties'] ?? params['unevaluatedProperties']).map((name) => faultAt(`${instancePath}/${escaped(name)}`, 'Unknown field. Remove it.'))
  }
  if (keyword === 'boolean') return []
  if (keyword === 'enum') return [faultAt(instancePath, `Must be one of ${names(params['allowedValues']).join(', ')}.`)]
  if (keyword === 'minProperties') return [faultAt(instancePath, `Must have at least one of the fields ${members.join(', ')}.`)]
  const said = saidByPattern.get(String(params['pattern'] ?? ''))
  return [faultAt(instancePath, said === undefined ? sentences[keyword]?.(params) ?? `${capitalized(message)}.` : `Must be ${said}.`)]
}

const typeNames: Readonly<Record<string, string>> = {
  array: 'a list', boolean: 'true or false', integer: 'a whole number', number: 'a number', object: 'an object', string: 'a string'
}

const formatNames: Readonly<Record<string, string>> = {
  'date-time': 'a time such as 2027-01-31T12:00:00Z',
  date: 'a day such as 2027-01-31',
  ipv4: 'an IPv4 or IPv6 address',
  ipv6: 'an IPv4 or IPv6 address'
}

const sentences: Readonly<Record<string, (params: Readonly<Record<string, unknown>>) => string>> = {
  type: ({ type }) => `Must be ${typeNames[String(type)] ?? String(type)}.`,
  minimum: ({ limit }) => `Must be at least ${limit}.`,
  maximum: ({ limit }) => `Must be at most ${limit}.`,
  minLength: ({ limit }) => `Must have at least ${counted(Number(limit), 'character')}.`,
  maxLength: ({ limit }) => `Must have at most ${counted(Number(limit), 'character')}.`,
  minItems: ({ limit }) => `Must have at least ${counted(Number(limit), 'entry', 'entries')}.`,
  maxItems: ({ limit }) => `Must have at most ${counted(Number(limit), 'entry', 'entries')}.`,
  uniqueItems: () => 'Must not have the same entry twice.',
  format: ({ format }) => `Must be ${formatNames[String(format)] ?? `a ${String(format)}`}.`,
  maxProperties: ({ limit }) => `Must have at most ${counted(Number(limit), 'field')}.`
}

function names (value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

function capitalized (message: string): string {
  return message.charAt(0).toUpperCase() + message.slice(1)
}

// Anyone can put a token into the name of a field: a name is repeated only if it is short and plain, else its parent is pointed at.
function faultAt (pointer: string, detail: string): Fault {
  const parts = pointer.split('/').slice(1)
  const hidden = parts.findIndex((part) => !/^(?:[A-Za-z0-9_.-]|~[01]){1,31}$/.test(part))
  if (hidden === -1) return { pointer, detail }
  return { pointer: parts.slice(0, hidden).map((part) => `/${part}`).join(''), detail: `In a field whose name is not repeated here: ${detail}` }
}

// RFC 6901, section 3. The paths of the validator are escaped already, the names of fields are not.
function escaped (name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
