/*
 * Checks the options of the package when it starts. In JavaScript no compiler does: a wrong name would have no effect, and `usageAddresses: 'none'`
 * would store the network of each address.
 */

/** What the value of an option may be. */
export interface Rule {
  /** What a value must be, for an error. */
  readonly says: string
  isMet (value: unknown): boolean
  /** The members of an object. */
  readonly members?: Readonly<Record<string, Rule>>
  /** Whether an object needs all its members. */
  readonly isWhole?: true
}

export const text: Rule = { says: 'a text', isMet: (value) => typeof value === 'string' }
export const texts: Rule = { says: 'an array of texts', isMet: (value) => Array.isArray(value) && value.every(text.isMet) }
export const flag: Rule = { says: '`true` or `false`', isMet: (value) => typeof value === 'boolean' }
export const whole: Rule = { says: 'a whole number above 0', isMet: (value) => Number.isSafeInteger(value) && (value as number) > 0 }
export const wholeOrNone: Rule = { says: 'a whole number above 0, or null', isMet: (value) => value === null || whole.isMet(value) }
export const made: Rule = { says: 'an object', isMet: (value) => (typeof value === 'object' && value !== null) || typeof value === 'function' }
export const url: Rule = { says: 'a URL', isMet: (value) => typeof value === 'string' && URL.canParse(value) }

export function oneOf (...values: readonly string[]): Rule {
  return { says: values.map((value) => `'${value}'`).join(' or '), isMet: (value) => values.includes(value as string) }
}

/** An object that needs each of these members. */
export function wholeObject<Whole> (members: { readonly [Name in keyof Whole]-?: Rule }): Rule {
  return { ...made, members, isWhole: true }
}

/** An object with some of these members. */
export function partOf<Whole> (members: { readonly [Name in keyof Whole]-?: Rule }): Rule {
  return { ...made, members }
}

interface Place {
  /** Whose options they are. */
  readonly owner: string
  /** The object that these are the members of, with a dot. */
  readonly parent?: string
  readonly isWhole?: boolean
}

/** Throws `TypeError` for a wrong name, a wrong value or a missing member. */
export function assertMembers (values: Readonly<Record<string, unknown>>, rules: Readonly<Record<string, Rule>>, { owner, parent = '', isWhole = false }: Place): void {
  for (const name of new Set([...Object.keys(values), ...Object.keys(rules)])) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    const value = values[name]
    if (rule === undefined) throw new TypeError(`\`${parent}${name}\` is no option of ${owner}. There are: ${Object.keys(rules).join(', ')}.`)
    if (value === undefined && !isWhole) continue
    if (!rule.isMet(value)) throw new TypeError(`\`${parent}${name}\` must be ${rule.says}.`)
    if (rule.members !== undefined) assertMembers(value as Record<string, unknown>, rule.members, { owner, parent: `${name}.`, isWhole: rule.isWhole ?? false })
  }
}
