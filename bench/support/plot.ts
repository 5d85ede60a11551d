/** One picture of how a figure grows with another one. The scenario that measured them makes it; `drawPlot` draws it. */
export interface Plot {
  /** Of its files, `plots/{name}.svg` and the figures that it was drawn from, `plots/{name}.json`. */
  readonly name: string
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
}

export interface Axis {
  /** With the unit, unless it is a mere count. */
  readonly title: string
  /** `log`: by powers of ten; values of 0 and below cannot be shown. `powers of two`: for counts that double, each of which is written. `linear`: from 0. */
  readonly scale: 'linear' | 'log' | 'powers of two'
}

export interface Series {
  readonly title: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

/** A value's place on an axis, from 0 to 1, and the values that are written beside it. */
interface Scale {
  readonly ticks: readonly number[]
  at (value: number): number
}

const [width, height] = [720, 420]
const [left, right, top, bottom] = [84, 44, 56, 104]
const [plotWidth, plotHeight] = [width - left - right, height - top - bottom]
const legendColumns = 2
const legendRow = 18

/**
 * The plot as an SVG document that needs nothing else: no script, no font of its own, colours for a light and a dark page. Series differ in
 * the shape of their points and not by colour alone, and each point tells its figures to a pointer and to a screen reader.
 */
export function drawPlot (plot: Plot): string {
  const [x, y] = [scaleOf(plot.x, plot.series.flatMap(({ points }) => points.map(([value]) => value))), scaleOf(plot.y, plot.series.flatMap(({ points }) => points.map(([, value]) => value)))]
  const toX = (value: number) => round(left + x.at(value) * plotWidth)
  const toY = (value: number) => round(top + (1 - y.at(value)) * plotHeight)
  const rows = Math.ceil(plot.series.length / legendColumns)
  const whole = height + Math.max(0, rows - 2) * legendRow
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${whole}" width="${width}" height="${whole}" role="img" aria-labelledby="title about">`,
    `<title id="title">${escaped(plot.title)}</title>`,
    `<desc id="about">${escaped(`${plot.y.title}, by ${plot.x.title}: ${plot.series.map(({ title }) => title).join('; ')}`)}</desc>`,
    style,
    `<rect class="paper" width="${width}" height="${whole}"/>`,
    `<text class="heading" x="${left}" y="28">${escaped(plot.title)}</text>`,
    ...y.ticks.map((tick) => `<path class="grid" d="M${left} ${toY(tick)}H${left + plotWidth}"/><text x="${left - 8}" y="${toY(tick) + 4}" text-anchor="end">${written(tick)}</text>`),
    ...x.ticks.map((tick) => `<path class="grid" d="M${toX(tick)} ${top}V${top + plotHeight}"/><text x="${toX(tick)}" y="${top + plotHeight + 18}" text-anchor="middle">${written(tick)}</text>`),
    `<path class="axis" d="M${left} ${top}V${top + plotHeight}H${left + plotWidth}"/>`,
    `<text x="${left + plotWidth / 2}" y="${top + plotHeight + 38}" text-anchor="middle">${escaped(plot.x.title)}</text>`,
    `<text x="${-(top + plotHeight / 2)}" y="16" text-anchor="middle" transform="rotate(-90)">${escaped(plot.y.title)}</text>`,
    ...plot.series.flatMap((series, i) => [drawSeries(series, i, plot, toX, toY), drawLegend(series, i)]),
    '</svg>',
    ''
  ].join('\n')
}

function drawSeries ({ title, points }: Series, index: number, { x, y }: Plot, toX: (value: number) => number, toY: (value: number) => number): string {
  const places = points.map(([px, py]) => [toX(px), toY(py)] as const)
  const line = places.map(([px, py], i) => `${i === 0 ? 'M' : 'L'}${px} ${py}`).join('')
  return [
    `<g class="series s${index % shapes.length}">`,
    `<path class="line" d="${line}"/>`,
    ...points.map(([px, py], i) => `<path class="point" d="${shapes[index % shapes.length]!(...places[i]!)}"><title>${escaped(`${title}: ${written(py)} (${y.title}) at ${written(px)} (${x.title})`)}</title></path>`),
    '</g>'
  ].join('\n')
}

function drawLegend ({ title }: Series, index: number): string {
  const px = left + (index % legendColumns) * (plotWidth / legendColumns)
  const py = top + plotHeight + 64 + Math.floor(index / legendColumns) * legendRow
  return `<g class="s${index % shapes.length}"><path class="line" d="M${px} ${py}h24"/><path class="mark" d="${shapes[index % shapes.length]!(px + 12, py)}"/><text x="${px + 32}" y="${py + 4}">${escaped(title)}</text></g>`
}

const shapes: ReadonlyArray<(x: number, y: number) => string> = [
  (x, y) => `M${round(x - 4)} ${y}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z`,
  (x, y) => `M${round(x - 4)} ${round(y - 4)}h8v8h-8Z`,
  (x, y) => `M${x} ${round(y - 5)}l5 9h-10Z`,
  (x, y) => `M${x} ${round(y - 6)}l5 6l-5 6l-5 -6Z`,
  (x, y) => `M${x} ${round(y + 5)}l5 -9h-10Z`,
  (x, y) => `M${round(x - 5)} ${round(y - 2)}h10v4h-10Z`
]

// Each colour has a contrast of 3 and more to its paper, text one of 7: WCAG 2.2, 1.4.3 and 1.4.11. Nothing is drawn in a colour that a page might not know.
const style = `<style>
svg { --paper: #ffffff; --ink: #24292f; --grid: #d8dee4; --s0: #0550ae; --s1: #bc4c00; --s2: #1a7f37; --s3: #8250df; --s4: #bf3989; --s5: #57606a }
@media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --ink: #e6edf3; --grid: #30363d; --s0: #6cb6ff; --s1: #f0883e; --s2: #57ab5a; --s3: #b083f0; --s4: #e275ad; --s5: #adbac7 } }
.paper { fill: var(--paper) } text { fill: var(--ink); font: 12px system-ui, sans-serif } .heading { font-size: 15px; font-weight: 600 }
.grid { stroke: var(--grid); fill: none } .axis { stroke: var(--ink); fill: none } .line { fill: none; stroke-width: 2 }
${Array.from({ length: 6 }, (_, i) => `.s${i} .line { stroke: var(--s${i}) } .s${i} .point, .s${i} .mark { fill: var(--s${i}) }`).join('\n')}
</style>`

function scaleOf ({ scale, title }: Axis, values: readonly number[]): Scale {
  if (values.length === 0 || !values.every(Number.isFinite)) throw new Error(`There are no figures of ${title}.`)
  const [least, most] = [Math.min(...values), Math.max(...values)]
  if (scale === 'linear') return linear(most)
  if (least <= 0) throw new Error(`${title}: ${least} has no place on a logarithmic axis.`)
  return scale === 'log' ? powers(10, least, most) : powers(2, least, most)
}

/** From 0 to a round number beyond the largest value, in four to ten steps of 1, 2 or 5 times a power of ten. */
function linear (most: number): Scale {
  const rough = (most <= 0 ? 1 : most) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power
  const count = Math.max(1, Math.ceil(most / step - 1e-9))
  return { ticks: Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12))), at: (value) => value / (count * step) }
}

function powers (base: number, least: number, most: number): Scale {
  const exponent = (value: number) => Math.log(value) / Math.log(base)
  const first = Math.floor(exponent(least) + 1e-9)
  const last = Math.max(first + 1, Math.ceil(exponent(most) - 1e-9))
  return { ticks: Array.from({ length: last - first + 1 }, (_, i) => Number((base ** (first + i)).toPrecision(12))), at: (value) => (exponent(value) - first) / (last - first) }
}

function written (value: number): string {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 4 })
}

function round (value: number): number {
  return Math.round(value * 10) / 10
}

function escaped (text: string): string {
  return text.replace(/[&<>"]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[character]!)
}
