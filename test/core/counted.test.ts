import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { counted } from '../../src/core/counted.ts'

const src = new URL('../../src/', import.meta.url)
/** Nouns after a number that may be 1. Limits of the service itself, in capitals or in `rules`, and constants are never 1. */
const plural = /\$\{(?!rules\.|\w*(?:Max|Min)\}|String\()[^}`]*\} (?:keys|tokens|days|entries|lines|rows|fields|hours|minutes|seconds|requests|servers|people)\b/g
const constants = /\{(?:soonDays|eventDays|triedDays|daysShown)\}/

t.test('a noun after a number is in the singular for 1 only', async (t) => {
  t.strictSame([0, 1, 2].map((count) => counted(count, 'key')), ['0 keys', '1 key', '2 keys'])
  t.strictSame([0, 1, 2].map((count) => counted(count, 'entry', 'entries')), ['0 entries', '1 entry', '2 entries'])
})

t.test('no text has a plural after a number that may be 1', async (t) => {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  const found = files.flatMap((file) => [...readFileSync(new URL(file, src), 'utf8').matchAll(plural)].map(([text]) => text).filter((text) => !constants.test(text)).map((text) => `${file}: ${text}`))
  t.strictSame(found, [])
})
