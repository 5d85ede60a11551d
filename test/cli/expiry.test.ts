import t from 'tap'
import { parseExpiry } from '../../src/cli/expiry.ts'

const now = Date.parse('2026-11-22T12:00:00.000Z')

const understood = [
  { text: '45m', means: '2026-11-22T12:45:00.000Z' },
  { text: '12h', means: '2026-11-23T00:00:00.000Z' },
  { text: '30d', means: '2026-12-22T12:00:00.000Z' },
  { text: '2w', means: '2026-12-06T12:00:00.000Z' },
  { text: '2027-01-01', means: '2027-01-01T00:00:00.000Z' },
  { text: '2028-02-29', means: '2028-02-29T00:00:00.000Z' },
  { text: '2027-01-01T08:00:00Z', means: '2027-01-01T08:00:00.000Z' },
  { text: '2027-01-01t08:00:00.25z', means: '2027-01-01T08:00:00.250Z' },
  { text: '9999-12-31T23:59:59.999Z', means: '9999-12-31T23:59:59.999Z' },
  { text: '2027-01-01T08:00:00+01:00', means: '2027-01-01T07:00:00.000Z' }
]

for (const { text, means } of understood) {
  t.test(`${text} means ${means}`, async (t) => {
    t.equal(new Date(parseExpiry(text, now) ?? NaN).toISOString(), means)
  })
}

for (const text of ['', '0d', '-1d', '1.5d', '30', '30y', 'never', '2027', '2027-13-01', '2027-02-30', '2027-01-01T08:00:00', '2027-01-01 08:00:00Z', '2027-01-01T25:00:00Z', '2027-02-30T08:00:00Z', ' 30d', '0000-01-01', '1970-01-01', '999999w', '9999-12-31T23:59:59-12:00']) {
  t.test(`"${text}" is no expiry`, async (t) => {
    t.equal(parseExpiry(text, now), undefined)
  })
}
