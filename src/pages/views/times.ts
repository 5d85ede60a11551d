import { html, type Html } from './html.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })

const units: ReadonlyArray<{ readonly unit: Intl.RelativeTimeFormatUnit, readonly ms: number, readonly below: number }> = [
  { unit: 'minute', ms: minuteMs, below: hourMs },
  { unit: 'hour', ms: hourMs, below: dayMs },
  { unit: 'day', ms: dayMs, below: 60 * dayMs },
  { unit: 'month', ms: 30.44 * dayMs, below: 730 * dayMs },
  { unit: 'year', ms: 365.25 * dayMs, below: Infinity }
]

/** `3 days ago`, `in 2 hours`, `just now`. The browser's own copy of this rule stands in `assets/settings.js`. */
export function relativeTime (at: number, now: number): string {
  const distance = at - now
  if (Math.abs(distance) < minuteMs) return distance > 0 ? 'in a moment' : 'just now'
  const { unit, ms } = units.find(({ below }) => Math.abs(distance) < below)!
  return relative.format(Math.trunc(distance / ms), unit)
}

export function exactTime (at: number): string {
  return `${exact.format(at)} UTC`
}

/** A time as people say it, with the exact one on hover; the browser keeps it current where it runs scripts. */
export function timeView (at: number, now: number): Html {
  return html`<time datetime="${new Date(at).toISOString()}" title="${exactTime(at)}">${relativeTime(at, now)}</time>`
}
