import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { drawPlot, type Plot } from './plot.ts'

/** The pictures of the page, and beside each the figures that it was drawn from. */
export const plotsFolder = new URL('../plots/', import.meta.url)

/** A plot and where its figures are from: machine, date and commit. */
export interface SavedPlot extends Plot {
  readonly measured: string
}

export function savePlot (plot: SavedPlot): void {
  mkdirSync(plotsFolder, { recursive: true })
  writeFileSync(new URL(`${plot.name}.json`, plotsFolder), `${JSON.stringify(plot, null, 2)}\n`)
  writeFileSync(new URL(`${plot.name}.svg`, plotsFolder), drawPlot(plot))
}

export function savedPlots (): SavedPlot[] {
  const files = readdirSync(plotsFolder).filter((file) => file.endsWith('.json')).sort()
  return files.map((file) => JSON.parse(readFileSync(new URL(file, plotsFolder), 'utf8')) as SavedPlot)
}
