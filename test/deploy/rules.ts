import type { Manifest } from './helm.ts'

/*
 * Rules over rendered objects. Each gives what is wrong, in words; nothing is right.
 */

interface Container {
  readonly name: string
  readonly image: string
  readonly securityContext?: any
  readonly ports?: ReadonlyArray<{ name: string, containerPort: number, hostPort?: number }>
  readonly env?: ReadonlyArray<{ name: string, value?: string, valueFrom?: unknown }>
  readonly envFrom?: readonly unknown[]
  readonly volumeMounts?: ReadonlyArray<{ name: string, mountPath: string, readOnly?: boolean, subPath?: string }>
  readonly resources?: any
  readonly lifecycle?: any
  readonly startupProbe?: any
  readonly livenessProbe?: any
  readonly readinessProbe?: any
}

export interface PodSpec {
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly volumes?: ReadonlyArray<Readonly<Record<string, any>> & { readonly name: string }>
  readonly securityContext?: any
  readonly [field: string]: any
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> }
  readonly spec: PodSpec
}

/** The pods that an object makes: a Pod itself, or the template of a Deployment or Job. */
export function podTemplateOf (manifest: Manifest): PodTemplate | undefined {
  if (manifest.kind === 'Pod') return manifest as unknown as PodTemplate
  return manifest.spec?.template as PodTemplate | undefined
}

const containersOf = (pod: PodSpec) => [...(pod.initContainers ?? []), ...pod.containers]
const volumeTypes = new Set(['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'persistentVolumeClaim', 'projected', 'secret'])
const probes = ['startupProbe', 'livenessProbe', 'readinessProbe'] as const

/** The profile "restricted" of the Pod Security Standards, "baseline" included. */
export function restrictedFaults (pod: PodSpec): string[] {
  const faults: string[] = []
  const refuse = (wrong: boolean, what: string) => { if (wrong) faults.push(what) }
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) refuse(pod[field] === true, field)
  refuse((pod.securityContext?.sysctls ?? []).length > 0, 'sysctls')
  refuse(pod.securityContext?.runAsUser === 0, 'runAsUser 0')
  for (const { name, ...source } of pod.volumes ?? []) {
    refuse(!Object.keys(source).every((type) => volumeTypes.has(type)), `volume ${name}: ${Object.keys(source).join()}`)
  }
  for (const container of containersOf(pod)) {
    const own = container.securityContext ?? {}
    const either = (field: string) => own[field] ?? pod.securityContext?.[field]
    const say = (wrong: boolean, what: string) => { refuse(wrong, `${container.name}: ${what}`) }
    say(own.privileged === true, 'privileged')
    say(own.allowPrivilegeEscalation !== false, 'allowPrivilegeEscalation')
    say(either('runAsNonRoot') !== true, 'runAsNonRoot')
    say(own.runAsUser === 0, 'runAsUser 0')
    say(!['RuntimeDefault', 'Localhost'].includes(either('seccompProfile')?.type), 'seccompProfile')
    say(!(own.capabilities?.drop ?? []).includes('ALL'), 'capabilities are not dropped')
    say((own.capabilities?.add ?? []).some((name: string) => name !== 'NET_BIND_SERVICE'), 'capabilities are added')
    say(!['Default', undefined].includes(own.procMount), 'procMount')
    say(either('seLinuxOptions') !== undefined, 'seLinuxOptions')
    say(['Unconfined'].includes(either('appArmorProfile')?.type), 'appArmorProfile')
    say(either('windowsOptions')?.hostProcess === true, 'hostProcess')
    say((container.ports ?? []).some(({ hostPort }) => (hostPort ?? 0) !== 0), 'hostPort')
    say(probes.some((probe) => container[probe]?.httpGet?.host !== undefined || container[probe]?.tcpSocket?.host !== undefined), 'a probe of another host')
  }
  return faults
}

/** What those who run many services ask of each pod, beyond its security. */
export function practiceFaults (pod: PodSpec): string[] {
  const faults: string[] = []
  const refuse = (wrong: boolean, what: string) => { if (wrong) faults.push(what) }
  refuse(pod['automountServiceAccountToken'] !== false, 'a service-account token is mounted')
  refuse(['default', undefined].includes(pod['serviceAccountName']), 'no account of its own')
  refuse(pod['enableServiceLinks'] !== false, 'every Service of the namespace is in its environment')
  const volumes = new Set((pod.volumes ?? []).map(({ name }) => name))
  const mounted = new Set(containersOf(pod).flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name)))
  for (const name of volumes) refuse(!mounted.has(name), `volume ${name} is mounted nowhere`)
  for (const name of mounted) refuse(!volumes.has(name), `mount ${name} has no volume`)
  for (const container of containersOf(pod)) {
    for (const fault of containerFaults(container)) faults.push(`${container.name}: ${fault}`)
  }
  return faults
}

function containerFaults ({ image, securityContext, env = [], envFrom, volumeMounts = [], resources = {} }: Container): string[] {
  const { requests = {}, limits = {} } = resources
  const names = env.map(({ name }) => name)
  const paths = volumeMounts.map(({ mountPath }) => mountPath)
  const rules: ReadonlyArray<readonly [wrong: boolean, what: string]> = [
    [!/(:(?!latest$|latest@)[\w][\w.-]*)(@sha256:[0-9a-f]{64})?$/.test(image), 'the image has no version'],
    [securityContext?.readOnlyRootFilesystem !== true, 'the root file system can be written'],
    [requests.cpu === undefined || requests.memory === undefined, 'no requests'],
    [limits.memory === undefined, 'no limit of memory'],
    [limits.cpu !== undefined, 'a limit of CPU: a throttled replica makes revocations wait'],
    [bytesOf(requests.memory) > bytesOf(limits.memory), 'it requests more memory than its limit'],
    [envFrom !== undefined, 'its environment is a whole object'],
    [env.some(({ valueFrom }) => valueFrom !== undefined && 'secretKeyRef' in (valueFrom as object)), 'a secret is in the environment'],
    [new Set(names).size < names.length, 'a variable is set twice'],
    [new Set(paths).size < paths.length, 'two volumes are mounted at one path'],
    [volumeMounts.some(({ subPath }) => subPath !== undefined), 'a subPath: the file would never change again']
  ]
  return rules.flatMap(([wrong, what]) => wrong ? [what] : [])
}

const units: Readonly<Record<string, number>> = { '': 1, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 }

/** A quantity of memory in bytes; NaN for one that is not there or not in these units. */
export function bytesOf (quantity: unknown): number {
  const [, number = '', unit = ''] = /^(\d+)(\w*)$/.exec(String(quantity)) ?? []
  return number === '' ? NaN : Number(number) * (units[unit] ?? NaN)
}

/** Whether a label selector of `matchLabels` alone selects these labels. One without labels selects everything. */
export function selects (selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value)
}
