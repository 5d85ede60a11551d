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

/**
 * `3 days ago`, `in 2 hours`, `just now`. What is to come is rounded, so that a key made for 30 days ends "in 30 days" also a moment later; of what
 * has been, only whole units have passed. The browser's own copy of this rule stands in `assets/settings.js`.
 */
export function relativeTime (at: number, now: number): string {
  const distance = at - now
  if (Math.abs(distance) < minuteMs) return distance > 0 ? 'in a moment' : 'just now'
  const { unit, ms } = units.find(({ below }) => Math.abs(distance) < below)!
  return relative.format(distance > 0 ? Math.round(distance / ms) : Math.trunc(distance / ms), unit)
}

export function exactTime (at: number): string {
  return `${exact.format(at)} UTC`
}

/** A time as people say it and the exact one, both as text: a title on hover is out of reach of touch and keyboard. A script keeps it current. */
export function timeView (at: number, now: number): Html {
  return html`<time datetime="${new Date(at).toISOString()}"><span data-relative>${relativeTime(at, now)}</span> <span class="exact" data-exact>${exactTime(at)}</span></time>`
}
