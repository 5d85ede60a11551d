import { html, type Html } from './html.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' })

const units: ReadonlyArray<{ readonly unit: Intl.RelativeTimeFormatUnit, readonly ms: number, readonly below: number }> = [
  { unit: 'minute', ms: minuteMs, below: hourMs },
  { unit: 'hour', ms: hourMs, below: dayMs },
  { unit: 'day', ms: dayMs, below: 61 * dayMs },
  { unit: 'month', ms: 30.44 * dayMs, below: 730 * dayMs },
  { unit: 'year', ms: 365.25 * dayMs, below: Infinity }
]

/**
 * `3 days ago`, `in 2 hours`, `just now`. Future times are rounded, so that a key that was created for 30 days still ends "in 30 days" a moment later, and a grace of 1 hour "in 1 hour". Past
 * times are truncated. `assets/settings.js` has a copy of this rule for the browser.
 */
export function relativeTime (at: number, now: number): string {
  const distance = at - now
  if (Math.abs(distance) < minuteMs) return distance > 0 ? 'in a moment' : 'just now'
  const whole = (ms: number): number => distance > 0 ? Math.round(distance / ms) : Math.trunc(distance / ms)
  // The whole number decides: almost 60 minutes are 1 hour.
  const { unit, ms } = units.find(({ ms, below }) => Math.abs(whole(ms)) * ms < below)!
  return relative.format(whole(ms), unit)
}

/** `24 Feb 2027`, UTC, in one line. */
export function exactDay (at: number): string {
  return day.format(at).replaceAll(' ', '\u00a0')
}

export function exactTime (at: number): string {
  return `${exact.format(at)} UTC`
}

/** A relative and an exact time, both as text: touch and keyboard cannot reach a title on hover. A script updates them. */
export function timeView (at: number, now: number): Html {
  return html`<time datetime="${new Date(at).toISOString()}"><span data-relative>${relativeTime(at, now)}</span> <span class="exact" data-exact>${breakableOnce(exactTime(at))}</span></time>`
}

// Allow a line break only between date and time of day.
export function breakableOnce (text: string): string {
  const end = text.lastIndexOf(', ') + 1
  return `${text.slice(0, end).replaceAll(' ', '\u00a0')} ${text.slice(end + 1).replaceAll(' ', '\u00a0')}`
}
