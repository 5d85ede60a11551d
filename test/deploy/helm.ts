import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { requireProgram } from '../support/programs.ts'

export const chart = 'deploy/helm/navis-keys'

/** The values files of the usual ways to run it, by name. */
export const valuesFiles = readdirSync(join(chart, 'ci')).filter((name) => name.endsWith('-values.yaml'))

export interface Labelled {
  readonly name: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

/** An object of Kubernetes, as it was rendered. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Labelled
  readonly spec?: any
  readonly [field: string]: unknown
}

export function helm (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  // Neither plugins nor repositories of whoever runs the tests.
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', HELM_PLUGINS: '/nonexistent' }
  return spawnSync(requireProgram('helm-4.1.4'), args, { encoding: 'utf8', env, maxBuffer: 16 * 1024 * 1024 })
}

/** What `helm template` makes of the chart, as text. */
export function renderText (...args: string[]): string {
  const { status, stdout, stderr } = helm('template', 'navis-keys', chart, '--namespace', 'navis-keys', ...args)
  if (status !== 0) throw new Error(stderr)
  return stdout
}

export function render (...args: string[]): Manifest[] {
  return parseManifests(renderText(...args))
}

/** What `helm install` would make with one of the values files, and what it would say afterwards. */
export function installed (name: string): { readonly manifests: readonly Manifest[], readonly notes: string } {
  const { status, stdout, stderr } = helm('install', 'navis-keys', chart, '--namespace', 'navis-keys', '--dry-run=client', '--output', 'json', '--values', join(chart, 'ci', name))
  if (status !== 0) throw new Error(stderr)
  const { manifest, hooks, info } = JSON.parse(stdout) as { manifest: string, hooks?: ReadonlyArray<{ manifest: string }>, info: { notes: string } }
  return { manifests: [manifest, ...(hooks ?? []).map((hook) => hook.manifest)].flatMap(parseManifests), notes: info.notes }
}

/** Every document of a YAML text. Throws at doubled members, which parsers of Kubernetes take in silence. */
export function parseManifests (text: string): Manifest[] {
  return parseAllDocuments(text, { uniqueKeys: true, version: '1.1' }).flatMap((document) => {
    const [error] = 'errors' in document ? document.errors : []
    if (error !== undefined) throw error
    const manifest = ('toJS' in document ? document.toJS() : undefined) as Manifest | null | undefined
    return manifest === null || manifest === undefined ? [] : [manifest]
  })
}

export function of (manifests: readonly Manifest[], kind: string): Manifest[] {
  return manifests.filter((manifest) => manifest.kind === kind)
}
