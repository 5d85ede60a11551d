import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
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
 * What is wrong with the objects, by their schemas: types, required fields, enumerations (the compiled JSON schemas), and
 * unknown fields at any depth (the compiler, which refuses a literal with a member that its type has not).
 */
export async function schemaFaults (manifests: readonly Manifest[]): Promise<string[]> {
  const unknown = manifests.filter((manifest) => modules[keyOf(manifest)] === undefined)
  const known = manifests.filter((manifest) => modules[keyOf(manifest)] !== undefined)
  const specifiers = manifests.flatMap((manifest) => modules[keyOf(manifest)] ?? [])
  return [
    ...unknown.map((manifest) => `${nameOf(manifest)}: no schema for ${keyOf(manifest)}`),
    ...(await Promise.all(known.map(async (manifest, i) => await valueFaults(manifest, specifiers[i] ?? '')))).flat(),
    ...fieldFaults(known, specifiers)
  ]
}

async function valueFaults (manifest: Manifest, specifier: string): Promise<string[]> {
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

function fieldFaults (manifests: readonly Manifest[], specifiers: readonly string[]): string[] {
  // Within the project, so that the packages are found.
  const folder = mkdtempSync(join(resolve('node_modules'), '.manifests-'))
  const file = join(folder, 'manifests.ts')
  // One line an object, so that a line says which object is wrong.
  const lines = manifests.map((manifest, i) =>
    `export const o${i}: import('${specifiers[i]}').I${manifest.kind} = ${JSON.stringify(manifest)}`)
  writeFileSync(file, lines.join('\n'))
  try {
    const program = ts.createProgram([file], {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      skipLibCheck: true,
      types: []
    })
    return ts.getPreEmitDiagnostics(program).map((fault) => {
      const text = ts.flattenDiagnosticMessageText(fault.messageText, ' ').replaceAll(/'"(\w+)"'/g, "'$1'")
      if (fault.file?.fileName !== file || fault.start === undefined) return `${pathToFileURL(fault.file?.fileName ?? '').href}: ${text}`
      const manifest = manifests[fault.file.getLineAndCharacterOfPosition(fault.start).line]
      return `${manifest === undefined ? '' : nameOf(manifest)}: ${text}`
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
