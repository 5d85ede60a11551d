import type { KeyUsage } from '../../core/usage-reports.ts'
import { html, type Html } from './html.ts'
import { dayMs } from './times.ts'

interface Day {
  readonly day: string
  readonly accepted: number
  readonly refused: number
}

const daysShown = 30
const barWidth = 12
const barGap = 6
const height = 96
const toolsShown = 20
const date = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })

/** The use of a key by day and by tool. The chart is an SVG from the server; a table below it has the same numbers. */
export function usageSection (usage: KeyUsage, now: number): Html {
  const days = everyDay(usage, now)
  const accepted = sum(days.map((day) => day.accepted))
  const refused = sum(days.map((day) => day.refused))
  return html`<section class="card padded" aria-labelledby="usage-title">
      <h2 id="usage-title">Use in the last ${daysShown} days</h2>
      ${accepted + refused === 0
        ? html`<p class="help">None.</p>`
        : html`<p class="help legend"><span class="swatch accepted"></span>${count(accepted)} accepted${refused > 0 && html`, <span class="swatch refused"></span>${count(refused)} refused`}.</p>${chart(days)}${table(days)}`}
      ${usage.tools.length > 0 && tools(usage)}
    </section>`
}

function everyDay ({ days }: KeyUsage, now: number): readonly Day[] {
  const known = new Map(days.map((day) => [day.day, day]))
  return Array.from({ length: daysShown }, (_, index) => {
    const day = new Date(now - (daysShown - 1 - index) * dayMs).toISOString().slice(0, 10)
    const { accepted = 0, refused = {} } = known.get(day) ?? {}
    return { day, accepted, refused: sum(Object.values(refused)) }
  })
}

function chart (days: readonly Day[]): Html {
  const most = Math.max(...days.map(({ accepted, refused }) => accepted + refused))
  const tall = (value: number): number => value === 0 ? 0 : Math.max(2, Math.round(value / most * height))
  const width = daysShown * (barWidth + barGap) - barGap
  return html`<figure class="chart">
        <svg viewBox="0 0 ${width} ${height + 1}" role="img" aria-label="Use by day; the table below has the numbers">
          ${days.map(({ accepted, refused }, index) => {
            const [good, bad] = [tall(accepted), tall(refused)]
            return html`<rect class="bar-day" x="${index * (barWidth + barGap)}" y="${height}" width="${barWidth}" height="1"/>${good > 0 && html`<rect class="bar-accepted" x="${index * (barWidth + barGap)}" y="${height - good}" width="${barWidth}" height="${good}" rx="2"/>`}${bad > 0 && html`<rect class="bar-refused" x="${index * (barWidth + barGap)}" y="${Math.max(0, height - good - bad)}" width="${barWidth}" height="${bad}" rx="2"/>`}`
          })}
        </svg>
        <figcaption><span>${dayText(days[0]!.day)}</span><span>at most ${count(most)} a day</span><span>today</span></figcaption>
      </figure>`
}

function table (days: readonly Day[]): Html {
  return html`<details class="as-table"><summary>As a table</summary>
        <table class="numbers"><thead><tr><th scope="col">Day (UTC)</th><th scope="col">Accepted</th><th scope="col">Refused</th></tr></thead>
        <tbody>${[...days].reverse().filter(({ accepted, refused }) => accepted + refused > 0).map(({ day, accepted, refused }) => html`<tr><th scope="row">${dayText(day)}</th><td>${count(accepted)}</td><td>${count(refused)}</td></tr>`)}</tbody></table>
      </details>`
}

function tools ({ tools }: KeyUsage): Html {
  return html`<table class="numbers tools"><caption>Tools called${tools.length > toolsShown && `, the ${toolsShown} most used`}</caption>
        <thead><tr><th scope="col">Tool</th><th scope="col">Calls</th><th scope="col">Denied</th><th scope="col">Failed</th></tr></thead>
        <tbody>${tools.slice(0, toolsShown).map(({ tool, calls, denied, failed }) => html`<tr><th scope="row"><code>${tool}</code></th><td>${count(calls)}</td><td>${count(denied)}</td><td>${count(failed)}</td></tr>`)}</tbody>
      </table>`
}

function dayText (day: string): string {
  return date.format(Date.parse(`${day}T00:00:00Z`))
}

function count (value: number): string {
  return value.toLocaleString('en')
}

function sum (values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
