import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { notesOf, settingNames } from '../../src/config/settings.ts'
import { chartSchema, chartSchemaPath } from './chart-schema.ts'
import { chart, helm, installed, of, parseManifests, render, renderText, valuesFiles, type Manifest } from './helm.ts'
import { bytesOf, podTemplateOf, practiceFaults, restrictedFaults, selects, type PodSpec } from './rules.ts'
import { schemaFaults } from './schemas.ts'

const installations = new Map(valuesFiles.map((name) => [name, installed(name)]))
const renders = new Map([...installations].map(([name, { manifests }]) => [name, manifests]))
const defaults = renders.get('defaults-values.yaml') ?? []
const plain = parseManifests(readFileSync('deploy/kubernetes.yaml', 'utf8'))
const everything = [...renders.entries(), ['deploy/kubernetes.yaml', plain] as const]

const podsOf = (manifests: readonly Manifest[]) => manifests.flatMap((manifest) => {
  const template = podTemplateOf(manifest)
  return template === undefined ? [] : [{ ...template, name: `${manifest.kind} ${manifest.metadata.name}`, kind: manifest.kind }]
})
const podOf = (manifests: readonly Manifest[], kind: string): PodSpec => {
  const pod = podsOf(manifests).find((pod) => pod.kind === kind)?.spec
  if (pod === undefined) throw new Error(`There is no pod of a ${kind}.`)
  return structuredClone(pod)
}

t.test('the usual ways to run it are here', async (t) => {
  t.same(valuesFiles, ['connected-apps-values.yaml', 'defaults-values.yaml', 'embedded-values.yaml', 'gateway-values.yaml', 'sentinel-values.yaml', 'stores-values.yaml'])
})

t.test('helm lint --strict finds nothing with any of the values files', async (t) => {
  for (const name of valuesFiles) {
    const { status, stdout } = helm('lint', '--strict', '--quiet', chart, '--values', join(chart, 'ci', name))
    t.equal(status, 0, `${name}: ${stdout}`)
  }
})

const sound = everything.flatMap(([, manifests]) => manifests)
const spoilt = (kind: string, spoil: (manifest: any) => void) => {
  const manifest = structuredClone([...renders.values()].flat().find((manifest) => manifest.kind === kind))
  spoil(manifest)
  return manifest as Manifest
}
const spoiltOnes: ReadonlyArray<readonly [Manifest, RegExp]> = [
  [spoilt('Deployment', ({ spec }) => { spec.replicas = 'three' }), /replicas must be integer/],
  [spoilt('Deployment', ({ spec }) => { delete spec.selector }), /selector/],
  [spoilt('Deployment', ({ spec }) => { spec.template.spec.containers[0].readynessProbe = {} }), /'readynessProbe' does not exist/],
  [spoilt('Deployment', ({ spec }) => { spec.template.spec.terminationGracePeriod = 1 }), /'terminationGracePeriod' does not exist/],
  [spoilt('Job', ({ spec }) => { spec.template.spec.volumes[0].projected.sources[0].secret.itmes = [] }), /'itmes' does not exist/],
  [spoilt('HorizontalPodAutoscaler', ({ spec }) => { spec.metrics[0].resource.target.averageUtilisation = 1 }), /'averageUtilisation' does not exist/],
  [spoilt('NetworkPolicy', ({ spec }) => { spec.ingress[0].port = 1 }), /'port' does not exist/],
  [spoilt('PodDisruptionBudget', ({ spec }) => { spec.maxUnavailabel = 1 }), /'maxUnavailabel' does not exist/],
  [spoilt('ServiceMonitor', ({ spec }) => { spec.endpoints[0].intervall = '1s' }), /'intervall' does not exist/],
  [spoilt('PrometheusRule', ({ spec }) => { spec.groups[0].rules[0].expression = '1' }), /'expression' does not exist/],
  [spoilt('HTTPRoute', ({ spec }) => { spec.rules[0].backendRef = [] }), /'backendRef' does not exist/],
  [spoilt('Ingress', ({ spec }) => { spec.rules[0].http.paths[0].pathtype = 'Prefix' }), /'pathtype' does not exist/],
  [spoilt('ExternalSecret', ({ spec }) => { spec.data[0].remoteRef.properties = 'x' }), /'properties' does not exist/],
  [spoilt('ExternalSecret', ({ spec }) => { spec.target.creationPolicy = 'Always' }), /ExternalSecret .*creationPolicy/],
  // Of v1beta1, which the operator has not served since 0.17.
  [spoilt('ExternalSecret', ({ spec }) => { spec.target.template = { engineVersion: 'v1' } }), /ExternalSecret .*engineVersion/],
  [spoilt('ExternalSecret', (manifest) => { manifest.apiVersion = 'external-secrets.io/v1beta1' }), /no schema for external-secrets\.io\/v1beta1\/ExternalSecret/],
  [spoilt('Service', (manifest) => { manifest.kind = 'Servce' }), /no schema for v1\/Servce/]
]
const faults = schemaFaults([...sound, ...spoiltOnes.map(([manifest]) => manifest)])

t.test('every object holds against its schema, with no field that the schema does not know', async (t) => {
  t.same((await faults).slice(0, sound.length).flat(), [])
})

t.test('the check of schemas finds a wrong type, a missing field, and an unknown field wherever it is', async (t) => {
  const found = (await faults).slice(sound.length)
  for (const [i, [, expected]] of spoiltOnes.entries()) t.match(found[i]?.join('\n'), expected)
})

for (const [name, manifests] of everything) {
  t.test(`${name}: every pod keeps the rules of Pod Security "restricted", and of good practice`, async (t) => {
    for (const { name, spec } of podsOf(manifests)) {
      t.same(restrictedFaults(spec), [], name)
      t.same(practiceFaults(spec), [], name)
    }
  })

  t.test(`${name}: names, labels and references fit each other`, async (t) => {
    const names = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`)
    t.same([...new Set(names)], names, 'no name is used twice')
    for (const { kind, metadata } of manifests) {
      t.equal(metadata.namespace, 'navis-keys', `${kind} ${metadata.name}`)
      t.match(metadata.labels, { 'app.kubernetes.io/name': 'navis-keys', 'app.kubernetes.io/instance': 'navis-keys', 'app.kubernetes.io/version': String }, `${kind} ${metadata.name}`)
    }
    t.same(of(manifests, 'Secret'), [], 'the chart makes no Secret')
    sameSelection(t, manifests)
    reachable(t, manifests)
    accounts(t, manifests)
  })

  t.test(`${name}: the service is probed on the port of the probes, goes gently, and is as many as its budget allows`, async (t) => {
    const [deployment] = of(manifests, 'Deployment')
    const { spec: pod } = deployment?.spec.template as { spec: PodSpec }
    const [container] = pod.containers
    for (const [probe, path] of [['startupProbe', '/livez'], ['livenessProbe', '/livez'], ['readinessProbe', '/readyz']] as const) {
      t.match(container?.[probe], { httpGet: { path, port: 'metrics' } })
    }
    const sleepSeconds = container?.lifecycle.preStop.sleep.seconds as number
    t.ok(pod['terminationGracePeriodSeconds'] >= sleepSeconds + 10, 'SIGTERM leaves the service the 10 s that it may take')
    const env = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]))
    t.equal(env['PORT'], String(container?.ports?.find(({ name }) => name === 'http')?.containerPort))
    t.equal(env['METRICS_PORT'], String(container?.ports?.find(({ name }) => name === 'metrics')?.containerPort))
    const least = (of(manifests, 'HorizontalPodAutoscaler')[0]?.spec.minReplicas ?? deployment?.spec.replicas) as number
    t.ok(least > 1 ? of(manifests, 'PodDisruptionBudget').length === 1 : of(manifests, 'PodDisruptionBudget').length === 0)
    t.ok((of(manifests, 'PodDisruptionBudget')[0]?.spec.maxUnavailable ?? 0) < least, 'a drained node leaves a replica')
    if (least > 1) t.equal(deployment?.spec.strategy.rollingUpdate.maxUnavailable, 0)
  })
}

// Selectors are ways to lose traffic, or to send it to the pod of a Job.
function sameSelection (t: Test, manifests: readonly Manifest[]): void {
  const pods = podsOf(manifests)
  const selected = (selector: Readonly<Record<string, string>>) => pods.filter(({ metadata }) => selects(selector, metadata.labels)).map(({ kind }) => kind)
  for (const { kind, metadata, spec } of manifests) {
    if (kind === 'Service') t.same(selected(spec.selector), ['Deployment'], `Service ${metadata.name}`)
    if (kind === 'PodDisruptionBudget' || kind === 'Deployment') t.same(selected(spec.selector.matchLabels), ['Deployment'], `${kind} ${metadata.name}`)
    if (kind === 'NetworkPolicy') t.same(selected(spec.podSelector.matchLabels), [metadata.name.endsWith('-migration') ? 'Job' : 'Deployment'], `NetworkPolicy ${metadata.name}`)
    if (kind === 'HorizontalPodAutoscaler') t.ok(of(manifests, 'Deployment').some(({ metadata }) => metadata.name === spec.scaleTargetRef.name))
    if (kind === 'ServiceMonitor') {
      const services = of(manifests, 'Service').filter(({ metadata }) => selects(spec.selector.matchLabels, metadata.labels ?? {}))
      t.equal(services.length, 1)
      t.ok(services[0]?.spec.ports.some(({ name }: { name: string }) => name === spec.endpoints[0].port))
    }
  }
}

function reachable (t: Test, manifests: readonly Manifest[]): void {
  const services = new Map(of(manifests, 'Service').map(({ metadata, spec }) => [metadata.name, spec.ports as ReadonlyArray<{ name: string, port: number, targetPort: string }>]))
  const ports = podOf(manifests, 'Deployment').containers.flatMap(({ ports = [] }) => ports.map(({ name }) => name))
  for (const { targetPort } of [...services.values()].flat()) t.ok(ports.includes(targetPort))
  for (const { spec } of of(manifests, 'HTTPRoute')) {
    for (const { name, port } of spec.rules[0].backendRefs) t.ok(services.get(name)?.some((one) => one.port === port))
  }
  for (const { spec } of of(manifests, 'Ingress')) {
    for (const { backend } of spec.rules[0].http.paths) t.ok(services.get(backend.service.name)?.some(({ name }) => name === backend.service.port.name))
  }
  for (const { metadata, spec } of of(manifests, 'NetworkPolicy')) {
    if (metadata.name.endsWith('-migration')) {
      t.equal(spec.ingress, undefined, 'nobody reaches the Job')
    } else {
      t.same(spec.ingress.flatMap(({ ports }: { ports: Array<{ port: string }> }) => ports.map(({ port }) => port)), ports)
      const [test] = podsOf(of(manifests, 'Pod'))
      for (const { from = [] } of spec.ingress as ReadonlyArray<{ from?: ReadonlyArray<{ podSelector?: { matchLabels?: Record<string, string> }, namespaceSelector?: object }> }>) {
        const admits = from.some(({ podSelector, namespaceSelector }) => podSelector !== undefined && namespaceSelector === undefined && test !== undefined && selects(podSelector.matchLabels ?? {}, test.metadata.labels))
        t.ok(from.length === 0 || test === undefined || admits, 'the pod of `helm test` is let in')
      }
    }
  }
}

function accounts (t: Test, manifests: readonly Manifest[]): void {
  const accounts = new Map(of(manifests, 'ServiceAccount').map((account) => [account.metadata.name, account]))
  for (const account of accounts.values()) t.equal(account['automountServiceAccountToken'], false)
  for (const { name, spec, kind } of podsOf(manifests)) {
    // The Deployment and its test may use an account that exists already.
    t.ok(accounts.has(spec['serviceAccountName']) || (kind !== 'Job' && spec['serviceAccountName'] === 'navis-keys-vault'), name)
  }
}

t.test('the rules of Pod Security and of good practice each notice what they are for', async (t) => {
  const cases: ReadonlyArray<{ when: string, spoil: (pod: any) => void }> = [
    { when: 'the network of the host', spoil: (pod) => { pod.hostNetwork = true } },
    { when: 'a folder of the host', spoil: (pod) => { pod.volumes[0] = { name: 'secrets', hostPath: { path: '/' } } } },
    { when: 'root', spoil: (pod) => { pod.securityContext.runAsUser = 0 } },
    { when: 'no word about root', spoil: (pod) => { delete pod.securityContext.runAsNonRoot; delete pod.containers[0].securityContext.runAsNonRoot } },
    { when: 'no seccomp', spoil: (pod) => { delete pod.securityContext.seccompProfile } },
    { when: 'capabilities', spoil: (pod) => { pod.containers[0].securityContext.capabilities = {} } },
    { when: 'a further capability', spoil: (pod) => { pod.containers[0].securityContext.capabilities.add = ['SYS_PTRACE'] } },
    { when: 'more rights later', spoil: (pod) => { delete pod.containers[0].securityContext.allowPrivilegeEscalation } },
    { when: 'privileged', spoil: (pod) => { pod.containers[0].securityContext.privileged = true } },
    { when: 'a port of the host', spoil: (pod) => { pod.containers[0].ports[0].hostPort = 8080 } },
    { when: 'a probe elsewhere', spoil: (pod) => { pod.containers[0].livenessProbe.httpGet.host = '10.0.0.1' } },
    { when: 'a token', spoil: (pod) => { delete pod.automountServiceAccountToken } },
    { when: 'the default account', spoil: (pod) => { pod.serviceAccountName = 'default' } },
    { when: 'latest', spoil: (pod) => { pod.containers[0].image = 'navis-keys:latest' } },
    { when: 'no version', spoil: (pod) => { pod.containers[0].image = 'registry:5000/navis-keys' } },
    { when: 'no limit', spoil: (pod) => { delete pod.containers[0].resources.limits } },
    { when: 'a limit of CPU', spoil: (pod) => { pod.containers[0].resources.limits.cpu = '1' } },
    { when: 'more than the limit', spoil: (pod) => { pod.containers[0].resources.requests.memory = '1Gi' } },
    { when: 'a writable root', spoil: (pod) => { pod.containers[0].securityContext.readOnlyRootFilesystem = false } },
    { when: 'a secret in the environment', spoil: (pod) => { pod.containers[0].env.push({ name: 'X', valueFrom: { secretKeyRef: { name: 'a', key: 'b' } } }) } },
    { when: 'a variable twice', spoil: (pod) => { pod.containers[0].env.push({ name: 'PORT', value: '1' }) } },
    { when: 'a mount of nothing', spoil: (pod) => { pod.volumes = [] } },
    { when: 'a subPath', spoil: (pod) => { pod.containers[0].volumeMounts[0].subPath = 'x' } }
  ]
  for (const { when, spoil } of cases) {
    const pod = podOf(defaults, 'Deployment')
    spoil(pod)
    t.equal([...restrictedFaults(pod), ...practiceFaults(pod)].length > 0, true, when)
  }
})

t.test('wrong values are refused, in words that name them', async (t) => {
  // Against the schema, which tells everything that is wrong at once. A value can be wrong in one way at a time.
  const together: ReadonlyArray<ReadonlyArray<{ when: string, set: readonly string[], says: RegExp }>> = [
    [
      { when: 'a value that does not exist', set: ['replicaCount=3'], says: /at '': additional properties .*'replicaCount'.* not allowed/ },
      { when: 'one deep inside', set: ['metrics.serviceMonitor.intervall=1s'], says: /at '\/metrics\/serviceMonitor': .*'intervall'.* not allowed/ },
      { when: 'no replica', set: ['replicas=0'], says: /at '\/replicas': minimum/ },
      { when: 'a setting that does not exist', set: ['settings.TRUST_WINDOW=1'], says: /at '\/settings': .*'TRUST_WINDOW'.* not allowed/ },
      { when: 'a setting beyond its bounds', set: ['settings.TRUST_WINDOW_MS=5'], says: /TRUST_WINDOW_MS.*1,?000/ },
      { when: 'off without quotes', set: ['settings.CACHE=false'], says: /CACHE.*'on', 'off'/ },
      { when: 'a secret in plain sight', set: ['settings.DATABASE_URL=postgres://u:p@h/d'], says: /at '\/settings': .*'DATABASE_URL'.* not allowed/ },
      { when: 'a port that the chart decides', set: ['settings.PORT=80'], says: /at '\/settings': .*'PORT'.* not allowed/ },
      { when: 'the metrics on the port of the service', set: ['metrics.port=8080'], says: /metrics\/port/ },
      { when: 'a secret without a key', set: ['secrets.REDIS_URL.name=redis'], says: /at '\/secrets\/REDIS_URL': missing property 'key'/ },
      { when: 'a secret that is none', set: ['secrets.LOG_LEVEL.name=a', 'secrets.LOG_LEVEL.key=b'], says: /at '\/secrets': .*'LOG_LEVEL'.* not allowed/ },
      { when: 'a file from two places', set: ['files.MCP_POLICY_FILE.secret=a', 'files.MCP_POLICY_FILE.configMap=b', 'files.MCP_POLICY_FILE.key=c'], says: /files\/MCP_POLICY_FILE/ },
      { when: 'a digest that is none', set: ['image.digest=sha256:abc'], says: /image\/digest/ }
    ],
    [{ when: 'a text for a number', set: ['replicas=many'], says: /replicas/ }],
    // What values say together is checked by templates, of which the first that finds something ends helm.
    [{ when: 'no database', set: ['secrets.DATABASE_URL=null'], says: /Say where Postgres is/ }],
    [{ when: 'no management token', set: ['secrets.MANAGEMENT_TOKENS=null'], says: /MANAGEMENT_TOKENS is needed/ }],
    [{ when: 'an embedded database for many', set: ['embedded.enabled=true', 'autoscaling.enabled=true'], says: /embedded database has one replica/ }],
    [{ when: 'a vault without a name', set: ['externalSecrets.enabled=true'], says: /externalSecrets\.store\.name is needed/ }],
    [{ when: 'an ingress for no host', set: ['ingress.enabled=true'], says: /ingress\.hosts is needed/ }],
    [{ when: 'a route of no gateway', set: ['httpRoute.enabled=true'], says: /httpRoute\.parentRefs is needed/ }],
    [{ when: 'an account without a name', set: ['serviceAccount.create=false'], says: /serviceAccount\.name is needed/ }]
  ]
  for (const cases of together) {
    const { status, stderr } = helm('template', 'navis-keys', chart, ...cases.flatMap(({ set }) => set.flatMap((one) => ['--set', one])))
    for (const { when, says } of cases) {
      t.equal(status, 1, when)
      t.match(stderr, says, when)
    }
  }
})

t.test('an older Kubernetes is refused: it could not sleep before SIGTERM', async (t) => {
  t.match(helm('template', 'navis-keys', chart, '--kube-version', '1.29.0').stderr, /requires kubeVersion/)
})

t.test('values.schema.json knows the settings of this version, and every value has a default', async (t) => {
  t.equal(readFileSync(chartSchemaPath, 'utf8'), chartSchema(), 'run npm run docs:settings')
  const schema = JSON.parse(readFileSync(chartSchemaPath, 'utf8')) as { properties: Record<string, any>, $defs: Record<string, any> }
  const values = parse(readFileSync(join(chart, 'values.yaml'), 'utf8')) as Record<string, any>
  const open = new Set(['global', 'settings', 'secrets', 'files', 'resources', 'migration.secrets', 'migration.resources', 'embedded.resources', 'externalSecrets.remote'])
  const walk = (schema: Record<string, any>, values: Record<string, any>, path: string[]): void => {
    for (const [name, one] of Object.entries(schema)) {
      const where = [...path, name].join('.')
      if (where !== 'global') t.ok(name in values, where)
      if (one.properties !== undefined && !open.has(where)) walk(one.properties, values[name], [...path, name])
    }
  }
  walk(schema.properties, values, [])
})

t.test('names fit into 63 characters for the longest name of a release, on the oldest Kubernetes', async (t) => {
  const { status, stdout, stderr } = helm('template', 'r'.repeat(53), chart, '--values', join(chart, 'ci', 'stores-values.yaml'), '--kube-version', '1.30.2-eks-1552ad0')
  t.equal(status, 0, stderr)
  for (const { kind, metadata } of parseManifests(stdout)) t.ok(metadata.name.length <= 63, `${kind} ${metadata.name}`)
})

t.test('secrets reach the pods as files of exactly the Secrets that were named', async (t) => {
  const pod = podOf(renders.get('stores-values.yaml') ?? [], 'Deployment')
  const sources = pod.volumes?.find(({ name }) => name === 'secrets')?.['projected'].sources as Array<{ secret: { name: string, items: Array<{ key: string, path: string }> } }>
  t.same(sources.map(({ secret }) => [secret.items[0]?.path, secret.name, secret.items[0]?.key]), [
    ['DATABASE_URL', 'navis-keys-postgres', 'service-url'],
    ['MANAGEMENT_TOKENS', 'navis-keys-tokens', 'management'],
    ['REDIS_URL', 'navis-keys-redis', 'url'],
    ['SERVICE_TOKENS', 'navis-keys-tokens', 'services']
  ])
  const env = pod.containers[0]?.env ?? []
  for (const { secret } of sources) t.ok(env.some(({ name, value }) => name === `${secret.items[0]?.path}_FILE` && value === `/etc/navis-keys/secrets/${secret.items[0]?.path}`))
})

t.test('every variable that a pod is given is a setting of the service', async (t) => {
  const files = settingNames.filter((name) => notesOf(name).secret === true).map((name) => `${name}_FILE`)
  const known = new Set<string>([...settingNames, ...files])
  for (const [name, manifests] of renders) {
    const pods = podsOf(manifests).filter(({ kind }) => kind !== 'Pod')
    t.ok(pods.some(({ kind }) => kind === 'Deployment'))
    for (const { spec } of pods) {
      const given = (spec.containers[0]?.env ?? []).map(({ name }) => name)
      // NODE_EXTRA_CA_CERTS is Node's.
      t.same(given.filter((variable) => !known.has(variable) && variable !== 'NODE_EXTRA_CA_CERTS'), [], name)
    }
  }
})

t.test('files such as the certificates of a CA reach the pods from the Secret or ConfigMap that was named; the migration Job has those of the database', async (t) => {
  const manifests = renders.get('sentinel-values.yaml') ?? []
  const filesOf = (kind: string) => {
    const { volumes, containers: [container] } = podOf(manifests, kind)
    const sources = volumes?.find(({ name }) => name === 'files')?.['projected'].sources as ReadonlyArray<Record<'secret' | 'configMap', { name: string, items: Array<{ key: string, path: string }> } | undefined>>
    t.ok(container?.volumeMounts?.some(({ name, mountPath, readOnly }) => name === 'files' && mountPath === '/etc/navis-keys/files' && readOnly === true))
    return sources.map(({ secret, configMap }) => {
      const { name, items: [item] } = (secret ?? configMap)!
      t.equal(container?.env?.find(({ name }) => name === item?.path)?.value, `/etc/navis-keys/files/${item?.path ?? ''}`)
      return [item?.path, secret === undefined ? 'ConfigMap' : 'Secret', name, item?.key]
    })
  }
  const database = ['DATABASE_CA_FILE', 'ConfigMap', 'navis-keys-postgres-ca', 'ca.crt']
  t.same(filesOf('Deployment'), [database, ['REDIS_CA_FILE', 'Secret', 'navis-keys-redis', 'ca.crt']])
  t.same(filesOf('Job'), [database])
})

t.test('the migration Job has the database alone, under its own role, and runs before the pods, which then do not migrate', async (t) => {
  const manifests = renders.get('stores-values.yaml') ?? []
  const [job] = of(manifests, 'Job')
  t.match(job?.metadata.annotations, { 'helm.sh/hook': 'pre-install,pre-upgrade' })
  const { containers: [container], volumes } = podOf(manifests, 'Job')
  t.same(container?.env?.map(({ name }) => name).filter((name) => !name.startsWith('LOG_')), ['DATABASE_URL_FILE'])
  t.same(volumes?.[0]?.['projected'].sources, [{ secret: { name: 'navis-keys-postgres', items: [{ key: 'owner-url', path: 'DATABASE_URL' }] } }])
  const migrate = (manifests: readonly Manifest[]) => podOf(manifests, 'Deployment').containers[0]?.env?.find(({ name }) => name === 'MIGRATE')?.value
  t.equal(migrate(manifests), 'off')
  const without = render('--set', 'migration.enabled=false')
  t.equal(migrate(without), undefined)
  t.equal(of(without, 'Job').length, 0)
})

t.test('what a hook needs is there before it: the vault\'s Secret, then the account, then the Job', async (t) => {
  const manifests = renders.get('connected-apps-values.yaml') ?? []
  const weight = (kind: string, name: RegExp) => Number(of(manifests, kind).find(({ metadata }) => name.test(metadata.name))?.metadata.annotations?.['helm.sh/hook-weight'])
  const order = [weight('ExternalSecret', /-external$/), weight('ServiceAccount', /-migration$/), weight('Job', /-migration$/)]
  t.same(order, [...order].sort((a, b) => a - b))
  t.equal(new Set(order).size, 3)
})

t.test('every pod of the release goes to the nodes that the values name: that of `helm test` and the migration Job too', async (t) => {
  const pods = podsOf(renders.get('stores-values.yaml') ?? [])
  t.same(pods.map(({ kind }) => kind).sort(), ['Deployment', 'Job', 'Pod'])
  for (const { name, spec } of pods) {
    const { nodeSelector, tolerations } = spec as unknown as Record<string, unknown>
    t.same(nodeSelector, { 'kubernetes.io/arch': 'amd64' }, name)
    t.same(tolerations, [{ key: 'dedicated', operator: 'Equal', value: 'keys', effect: 'NoSchedule' }], name)
  }
})

t.test('what helm says after an installation names every Secret that is needed, and how to test it', async (t) => {
  for (const { manifests, notes } of installations.values()) {
    t.match(notes, /Navis Keys \d+\.\d+\.\d+ is installed as navis-keys in navis-keys\./)
    const secrets = podOf(manifests, 'Deployment').volumes?.find(({ name }) => name === 'secrets')?.['projected'].sources as Array<{ secret: { name: string, items: Array<{ key: string, path: string }> } }> | undefined
    for (const { secret: { name, items: [item] } } of secrets ?? []) t.match(notes, `${name}, key ${item?.key} (${item?.path})`)
    t.match(notes, secrets === undefined ? '/data/management-token' : 'helm -n navis-keys test navis-keys')
  }
})

t.test('memory: 256 Mi, and what the embedded database needs when it is first made', async (t) => {
  t.equal(bytesOf(podOf(defaults, 'Deployment').containers[0]?.resources.limits.memory), 256 * 2 ** 20)
  // A first start reaches 253 MiB: npm run test:image.
  t.ok(bytesOf(podOf(renders.get('embedded-values.yaml') ?? [], 'Deployment').containers[0]?.resources.limits.memory) > 1.5 * 253 * 2 ** 20)
})

t.test('deploy/kubernetes.yaml is what the chart renders for those without Helm', async (t) => {
  const text = renderText('--skip-tests', '--values', 'deploy/kubernetes-values.yaml')
  const [comment = '', ...rest] = readFileSync('deploy/kubernetes.yaml', 'utf8').split('---\n')
  t.match(comment, /^(#.*\n)+$/)
  t.equal(rest.join('---\n'), text.split('---\n').slice(1).join('---\n'), 'run npm run deploy:render')
  t.same(plain.filter(({ metadata }) => Object.keys(metadata.annotations ?? {}).some((name) => name.startsWith('helm.sh/'))), [], 'nothing in it is for Helm')
})
