import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { scenarios } from '../../bench/scenarios.ts'
import { drawPlot, type Plot } from '../../bench/support/plot.ts'
import { plotsFolder, savedPlots } from '../../bench/support/saved-plots.ts'
import { startBrowser } from '../pages/support/browser.ts'

const plots = savedPlots()
const page = readFileSync(new URL('../../bench/README.md', import.meta.url), 'utf8')

t.test('cost as work grows is drawn: requests and memory by keys, revoking by replicas, lists by size, statements by load', async (t) => {
  const names = plots.map(({ name }) => name)
  for (const name of ['requests-by-keys', 'memory-by-keys', 'revoke-latency-by-replicas', 'list-latency-by-size', 'statements-by-load']) t.ok(names.includes(name), name)
  t.strictSame(readdirSync(plotsFolder).filter((file) => file.endsWith('.svg')).sort(), names.map((name) => `${name}.svg`).sort(), 'each has its figures beside it')
})

for (const plot of plots) {
  t.test(`${plot.name} is what its figures draw, says where they are from, and is shown in the section that measured them`, async (t) => {
    t.equal(readFileSync(new URL(`${plot.name}.svg`, plotsFolder), 'utf8'), drawPlot(plot))
    t.match(plot.measured, /\d+ x .*Node v.*; \d{4}-\d\d-\d\d; commit [0-9a-f]{7,}/)
    const section = Object.keys(scenarios).map((name) => new RegExp(`<!-- ${name} -->\n([^]*)<!-- /${name} -->`).exec(page)?.[1] ?? '').find((text) => text.includes(`](plots/${plot.name}.svg)`))
    t.match(section, plot.measured, 'the picture and the table beside it are of one run')
  })
}

t.test('a browser shows each in light and in dark: every point and word is inside, tells its figures, and has contrast', { timeout: 120_000 }, async (t) => {
  const browser = await startBrowser(t)
  const papers = new Set<string>()
  const tab = await (await browser.newContext({ viewport: { width: 800, height: 600 } })).newPage()
  for (const plot of plots) {
    await tab.goto(new URL(`${plot.name}.svg`, plotsFolder).href)
    for (const colorScheme of ['light', 'dark'] as const) {
      await tab.emulateMedia({ colorScheme })
      const shown: Shown = await tab.evaluate(lookAtPlot)
      t.equal(shown.root, 'svg', `${plot.name} is read as XML without an error`)
      t.equal(shown.points.length, plot.series.reduce((sum, { points }) => sum + points.length, 0), `${plot.name} has every point`)
      for (const { title } of plot.series) t.ok(shown.words.includes(title), `${plot.name} names ${title}`)
      for (const title of [plot.title, plot.x.title, plot.y.title]) t.ok(shown.words.includes(title), `${plot.name} says ${title}`)
      t.strictSame(shown.points.filter((label) => !/: [\d.,]+ \(.+\) at [\d.,]+ \(.+\)$/.test(label)), [], 'each point tells its figures')
      t.strictSame(shown.outside, [], `nothing of ${plot.name} is outside of the picture`)
      t.ok(shown.leastOfText >= 7, `${plot.name}, ${colorScheme}: ${shown.leastOfText}`)
      t.ok(shown.leastOfMarks >= 3, `${plot.name}, ${colorScheme}: ${shown.leastOfMarks}`)
      papers.add(shown.paper)
    }
  }
  t.equal(papers.size, 2, 'dark is another picture than light')
})

t.test('figures that have no place on an axis are refused, and texts cannot become markup', async (t) => {
  const plot = (points: Array<[number, number]>, scale: 'linear' | 'log' = 'log'): Plot => ({ name: 'n', title: '<b>&"', x: { title: 'x', scale }, y: { title: 'y', scale }, series: [{ title: '</svg><script>', points }] })
  t.throws(() => drawPlot(plot([[0, 1]])), /no place on a logarithmic axis/)
  t.throws(() => drawPlot(plot([[1, NaN]])), /no figures of y/)
  t.throws(() => drawPlot(plot([])), /no figures of x/)
  const svg = drawPlot(plot([[1, 1], [1000, 20]]))
  t.notMatch(svg, /<script|<b>/)
  t.match(svg, '&lt;/svg&gt;&lt;script&gt;')
  for (const flat of [plot([[0, 0]], 'linear'), plot([[5, 5]]), plot([[1, 0.001], [1e6, 1e5]])]) t.notMatch(drawPlot(flat), /NaN|Infinity/)
})

interface Shown {
  readonly root: string
  readonly points: readonly string[]
  readonly words: readonly string[]
  readonly outside: readonly string[]
  readonly leastOfText: number
  readonly leastOfMarks: number
  readonly paper: string
}

/** In the browser: what there is to see, and how well. */
const lookAtPlot = `(() => {
  const svg = document.documentElement
  const frame = svg.getBoundingClientRect()
  const luminance = (color) => {
    const [r, g, b] = (color.match(/[\\d.]+/g) ?? []).map((part) => {
      const value = Number(part) / 255
      return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const paperColor = getComputedStyle(svg.querySelector('.paper')).fill
  const paper = luminance(paperColor)
  const contrast = (color) => {
    const [one, other] = [luminance(color), paper].sort((one, other) => other - one)
    return (one + 0.05) / (other + 0.05)
  }
  const texts = [...svg.querySelectorAll('text')]
  const marks = [...svg.querySelectorAll('.point, .mark')]
  const lines = [...svg.querySelectorAll('.line')]
  return {
    root: svg.localName,
    paper: paperColor,
    points: [...svg.querySelectorAll('.point')].map((point) => point.querySelector('title')?.textContent ?? ''),
    words: texts.map(({ textContent }) => textContent ?? ''),
    outside: [...texts, ...marks].filter((element) => {
      const box = element.getBoundingClientRect()
      return box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom
    }).map(({ outerHTML }) => outerHTML),
    leastOfText: Math.min(...texts.map((text) => contrast(getComputedStyle(text).fill))),
    leastOfMarks: Math.min(...marks.map((mark) => contrast(getComputedStyle(mark).fill)), ...lines.map((line) => contrast(getComputedStyle(line).stroke)))
  }
})()`
