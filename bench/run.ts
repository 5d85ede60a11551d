import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { nodeOf } from '../test/support/newer-node.ts'
import { Bench } from './bench.ts'
import { scenarios } from './scenarios.ts'
import { machineLine } from './support/machine.ts'
import { savedPlots, savePlot } from './support/saved-plots.ts'
import { isReached, printSection } from './support/section.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(scenarios).join(',') },
    generations: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    shrink: { type: 'string', default: '1' },
    'warm-up': { type: 'string', default: '6' },
    // Puts what was measured into bench/README.md, in the place of what stood there.
    save: { type: 'boolean', default: false },
    // Measures with the Node that runs this. Else with the one that the container has.
    'this-node': { type: 'boolean', default: false },
    // Draws the pictures anew from the figures that are kept, and measures nothing.
    redraw: { type: 'boolean', default: false }
  }
})

if (values.redraw) {
  for (const plot of savedPlots()) savePlot(plot)
  process.exit()
}

if (!values['this-node']) await onNodeOfContainer()

const start = performance.now()
const tell = (line: string) => { console.error(`[${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s] ${line}`) }
const [generations, rounds, seconds, shrink, warmUpSeconds] = [values.generations, values.rounds, values.seconds, values.shrink, values['warm-up']].map(Number) as [number, number, number, number, number]
const names = values.only.split(',')
const strange = names.filter((name) => !Object.hasOwn(scenarios, name))
if (strange.length > 0) throw new Error(`There is no scenario ${strange.join(', ')}. There are: ${Object.keys(scenarios).join(', ')}.`)

let bench: Bench | undefined
let ending: Promise<void> | undefined
const end = () => { ending ??= bench?.end() ?? Promise.resolve(); return ending }
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => { end().finally(() => { process.exit(130) }) })
}

try {
  bench = await Bench.start({ generations, rounds, seconds, shrink, warmUpSeconds }, tell)
  for (const name of names) {
    tell(name)
    const section = await scenarios[name]!(bench)
    const measured = `${machineLine()}; ${generations} generations of ${rounds} rounds of ${seconds} s`
    const text = `${printSection(section)}\n\n${measured}`
    console.log(`${text}\n`)
    if (values.save) {
      save(name, text)
      for (const plot of section.plots ?? []) savePlot({ ...plot, measured })
    }
    for (const goal of section.goals) if (!isReached(goal)) tell(`not reached: ${goal.what}`)
  }
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
await end()
process.exit()

/** Two versions of Node differ by a third and more, so what is measured runs on the one that people get. Returns if this is it, or if it cannot be had. */
async function onNodeOfContainer (): Promise<void> {
  const major = readFileSync(new URL('../.nvmrc', import.meta.url), 'utf8').trim()
  if (process.version.startsWith(`v${major}.`)) return
  const node = await nodeOf(Number(major))
  if (node === undefined) return
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1), '--this-node'], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { child.kill(signal) })
  const [code] = await once(child, 'close') as [number | null]
  process.exit(code ?? 1)
}

/** Each section stands between two comments that carry its name; the prose around them is written by hand. */
function save (name: string, text: string): void {
  const file = new URL('README.md', import.meta.url)
  const [from, to] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const before = readFileSync(file, 'utf8')
  if (!before.includes(from) || !before.includes(to)) throw new Error(`bench/README.md has no place for ${name}.`)
  writeFileSync(file, `${before.slice(0, before.indexOf(from) + from.length)}\n${text}\n${before.slice(before.indexOf(to))}`)
}
