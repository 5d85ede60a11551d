import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Manifest } from './helm.ts'

const operator = '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
const traefik = '@kubernetes-models/traefik/traefik.io/v1alpha1'
/** Types alone, of our own: only the compiler checks them. */
const envoy = resolve('test/deploy/envoy-kinds.ts')

/** Where the schema of each kind is. A kind that is not here is refused. */
const modules: Readonly<Record<string, string>> = {
  'v1/ConfigMap': 'kubernetes-models/v1/ConfigMap',
  'v1/PersistentVolumeClaim': 'kubernetes-models/v1/PersistentVolumeClaim',
  'v1/Pod': 'kubernetes-models/v1/Pod',
  'v1/Service': 'kubernetes-models/v1/Service',
  'v1/ServiceAccount': 'kubernetes-models/v1/ServiceAccount',
  'apps/v1/Deployment': 'kubernetes-models/apps/v1/Deployment',
  'autoscaling/v2/HorizontalPodAutoscaler': 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler',
  'batch/v1/Job': 'kubernetes-models/batch/v1/Job',
  'networking.k8s.io/v1/Ingress': 'kubernetes-models/networking.k8s.io/v1/Ingress',
  'networking.k8s.io/v1/NetworkPolicy': 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy',
  'policy/v1/PodDisruptionBudget': 'kubernetes-models/policy/v1/PodDisruptionBudget',
  'monitoring.coreos.com/v1/PrometheusRule': `${operator}/PrometheusRule`,
  'monitoring.coreos.com/v1/ServiceMonitor': `${operator}/ServiceMonitor`,
  'gateway.networking.k8s.io/v1/HTTPRoute': '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute',
  'gateway.networking.k8s.io/v1beta1/ReferenceGrant': '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1beta1/ReferenceGrant',
  'traefik.io/v1alpha1/IngressRoute': `${traefik}/IngressRoute`,
  'traefik.io/v1alpha1/Middleware': `${traefik}/Middleware`,
  'aigateway.envoyproxy.io/v1beta1/MCPRoute': envoy,
  'gateway.envoyproxy.io/v1alpha1/ClientTrafficPolicy': envoy,
  'gateway.envoyproxy.io/v1alpha1/SecurityPolicy': envoy,
  'external-secrets.io/v1/ExternalSecret': '@kubernetes-models/external-secrets/external-secrets.io/v1/ExternalSecret'
}

const keyOf = ({ apiVersion, kind }: Manifest) => `${apiVersion}/${kind}`
const nameOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`

/**
 * What is wrong with each of the objects, by their schemas: types, required fields, enumerations (the compiled JSON schemas), and
 * unknown fields at any depth (the compiler, which refuses a literal with a member that its type has not). Most of what it costs
 * is reading the schemas: ask for many objects at once.
 */
export async function schemaFaults (manifests: readonly Manifest[]): Promise<string[][]> {
  const known = manifests.filter((manifest) => modules[keyOf(manifest)] !== undefined)
  const [values, fields] = await Promise.all([Promise.all(known.map(valueFaults)), fieldFaults(known)])
  return manifests.map((manifest) => {
    const i = known.indexOf(manifest)
    return i < 0 ? [`${nameOf(manifest)}: no schema for ${keyOf(manifest)}`] : [...values[i]!, ...fields[i]!]
  })
}

async function valueFaults (manifest: Manifest): Promise<string[]> {
  const specifier = modules[keyOf(manifest)]!
  if (specifier === envoy) return []
  // In a variable: the compiler of this project does not need these packages to be there.
  const models = await import(specifier) as Record<string, new (manifest: Manifest) => { validate (): void }>
  const Model = models[manifest.kind]
  if (Model === undefined) return [`${nameOf(manifest)}: ${specifier} has no ${manifest.kind}`]
  try {
    new Model(manifest).validate()
    return []
  } catch (error) {
    return [`${nameOf(manifest)}: ${(error as Error).message}`]
  }
}

async function fieldFaults (manifests: readonly Manifest[]): Promise<string[][]> {
  // Within the project, so that the packages are found.
  const folder = mkdtempSync(join(resolve('node_modules'), '.manifests-'))
  // One line an object, so that a line says which object is wrong.
  const lines = manifests.map((manifest, i) => `export const o${i}: import('${modules[keyOf(manifest)]}').I${manifest.kind} = ${JSON.stringify(manifest)}`)
  writeFileSync(join(folder, 'manifests.ts'), lines.join('\n'))
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: { module: 'nodenext', target: 'es2023', strict: true, noEmit: true, allowImportingTsExtensions: true, skipLibCheck: true, types: [] }, files: ['manifests.ts']
  }))
  try {
    const said = await promisify(execFile)(process.execPath, [resolve('node_modules/typescript-native/bin/tsc'), '-p', folder, '--pretty', 'false'], { maxBuffer: 2 ** 26 })
      .then(() => '', (error: { stdout?: string, code?: unknown }) => error.code === 1 || error.code === 2 ? error.stdout! : Promise.reject(error))
    const faults: string[][] = manifests.map(() => [])
    // What a fault says goes on in lines that are indented.
    for (const fault of said.trimEnd().split(/\n(?! )/).filter((text) => text !== '')) {
      const [, line = '', text = ''] = /^[^(]*manifests\.ts\((\d+),\d+\): error (TS[^]*)$/.exec(fault) ?? []
      const i = Number(line) - 1
      if (manifests[i] === undefined) throw new Error(fault)
      faults[i]!.push(`${nameOf(manifests[i])}: ${text.replaceAll(/\s+/g, ' ').replaceAll(/'"(\w+)"'/g, "'$1'")}`)
    }
    return faults
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
