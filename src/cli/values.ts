import { isIP } from 'node:net'
import { InvalidArgumentError } from 'commander'
import type { RateLimit } from '../core/key-record.ts'
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

/** Adds one `key=value` to the earlier ones. Commander calls this for each option. */
export function metadata (text: string, before: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const [name = '', ...rest] = text.split('=')
  if (name === '__proto__') throw new InvalidArgumentError('__proto__ is not allowed as a name.')
  if (name === '' || rest.length === 0) throw new InvalidArgumentError('Give name=value.')
  if (before !== undefined && Object.hasOwn(before, name)) throw new InvalidArgumentError('This name was given before. Give each name once.')
  return Object.fromEntries([...Object.entries(before ?? {}), [name, rest.join('=')]])
}

export function wholeNumber (least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`Give a whole number from ${least} to ${most}.`)
    return value
  }
}

/** A time, in the past or the future. */
export function moment (text: string): number {
  const time = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))?$/i.test(text) ? Date.parse(text.toUpperCase()) : NaN
  if (!Number.isFinite(time)) throw new InvalidArgumentError('Give 2027-01-01 (UTC), or RFC 3339 with an offset.')
  return time
}

/** `none` removes the value. It stays a text, because Commander takes null for a missing value. */
export function orNone<T> (parse: (text: string) => T): (text: string) => T | 'none' {
  return (text) => text === 'none' ? text : parse(text)
}

/** What `orNone` read, as the service takes it. */
export function given<T> (value: T | 'none' | undefined): T | null | undefined {
  return value === 'none' ? null : value
}

export function cidrs (text: string): readonly string[] {
  return text.split(',').map((part) => part.trim()).filter((part) => part !== '')
}

/** `100/60`: 100 requests in 60 seconds. */
export function rateLimit (text: string): RateLimit {
  const [, requests, windowSeconds] = /^(\d{1,7})\/(\d{1,5})$/.exec(text) ?? []
  if (requests === undefined || windowSeconds === undefined) throw new InvalidArgumentError('Give requests/seconds, such as 100/60, or none.')
  return { requests: Number(requests), windowSeconds: Number(windowSeconds) }
}

/** The id of an owner, which allows more characters than the id of a workspace. */
export function owner (text: string): string {
  if (!new RegExp(rules.ownerId.pattern, 'u').test(text)) throw new InvalidArgumentError(`Give ${rules.ownerId.says}.`)
  return text
}

export function address (text: string): string {
  if (isIP(text) === 0 || text.includes('%')) throw new InvalidArgumentError('Give an IPv4 or IPv6 address.')
  return text
}
