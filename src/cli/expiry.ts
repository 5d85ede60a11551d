import { isTime } from '../core/key-rules.ts'

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/**
 * The expiry in milliseconds since the epoch. Accepts a duration from now (`30d`; also `m`, `h`, `w`), a day (`2027-01-01`, at 00:00
 * UTC) or RFC 3339 (`2027-01-01T08:00:00+01:00`). `undefined` for anything else, and for times that a key cannot have.
 */
export function parseExpiry (text: string, nowMs: number): number | undefined {
  const time = timeOf(text, nowMs)
  return time !== undefined && isTime(time) ? time : undefined
}

function timeOf (text: string, nowMs: number): number | undefined {
  const [, count, unit = ''] = /^([1-9]\d{0,5})([mhdw])$/.exec(text) ?? []
  if (count !== undefined) return nowMs + Number(count) * (unitsMs[unit] ?? NaN)
  const [, day] = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2}))?$/i.exec(text) ?? []
  if (day === undefined || !isDay(day)) return undefined
  const time = Date.parse(text.toUpperCase())
  return Number.isNaN(time) ? undefined : time
}

// Date reads 30 February as 2 March.
function isDay (day: string): boolean {
  const time = Date.parse(day)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(day)
}
