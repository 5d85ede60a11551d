import { InvalidArgumentError } from 'commander'
import { rules } from '../core/key-rules.ts'
import { parseExpiry } from './expiry.ts'

/** The id of a workspace or an owner. */
export function id (text: string): string {
  if (!new RegExp(rules.id.pattern, 'u').test(text)) throw new InvalidArgumentError(`Give ${rules.id.says}.`)
  return text
}

export function expiry (text: string): number {
  const time = parseExpiry(text, Date.now())
  if (time === undefined) throw new InvalidArgumentError('Give 30d (also m, h, w), 2027-01-01, or RFC 3339 with an offset; no later than the year 9999.')
  return time
}

export function rowCount (text: string): number {
  const count = Number(text)
  if (!/^\d+$/.test(text) || count < 1 || count > 200) throw new InvalidArgumentError('Give a whole number from 1 to 200.')
  return count
}

/** Adds `k=v` to the earlier ones. Commander calls it once for each. */
export function metadata (text: string, before: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const [name = '', ...rest] = text.split('=')
  if (name === '__proto__') throw new InvalidArgumentError('__proto__ is not allowed as a name.')
  if (name === '' || rest.length === 0) throw new InvalidArgumentError('Give name=value.')
  return Object.fromEntries([...Object.entries(before ?? {}), [name, rest.join('=')]])
}
