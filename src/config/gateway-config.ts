import { defaultMcpPath } from '../core/mcp-path.ts'
import { isOriginPattern } from '../core/origin-pattern.ts'
import { partsOf } from './parts-of.ts'
import { notesOf, type SettingName, type Settings } from './settings.ts'
import { readUpstreamHeaders } from './upstream-headers.ts'

export interface UpstreamSettings {
  /** `default` is served at `/mcp`, any other at `/mcp/{name}`, unless `path` says otherwise. */
  readonly name: string
  readonly url: string
  /** Path on which clients reach it. */
  readonly path?: string | undefined
  /** Sent as `Authorization: Bearer …` to this upstream. None: a signed token if there is a signing key, otherwise nothing. */
  readonly token?: string | undefined
  /** Further headers for this upstream, names in lower case. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

export interface GatewaySettings {
  readonly upstreams: readonly UpstreamSettings[]
  /** Lists the read-only tools: see `mcp/protocol/policy.ts`. None: every tool needs `mcp:write`. */
  readonly policyFile?: string | undefined
  /** P-256 private keys in PEM; the first one signs. None: upstreams without a token in the settings get no credential. */
  readonly signingKeys?: string | undefined
  /** Origins of web pages that may call, see `mcp/origins.ts`. Default: those of this machine. */
  readonly allowedOrigins?: readonly string[] | undefined
  /** How long an upstream may take to begin an answer, or be silent in the middle of one, in milliseconds. 120,000. */
  readonly answerTimeoutMs?: number | undefined
  /** The largest message or batch that is read, in bytes. 1 MiB. */
  readonly bodyBytesMax?: number | undefined
}

interface GatewayConfig {
  /** `undefined`: no upstream is set, and there is no gateway. */
  readonly gateway: GatewaySettings | undefined
  readonly faults: readonly string[]
}

const name = /^[a-z0-9][a-z0-9-]{0,62}$/
// The scrubber cannot remove shorter values from logs: they would match ordinary text.
const token = /^[!-~]{8,4096}$/

/** The settings of the MCP gateway, as far as they concern each other. Never shows a value but an upstream's name. */
export function readGatewayConfig (values: Settings): GatewayConfig {
  const faults: string[] = []
  const tokens = new Map(pairsOf(values.MCP_UPSTREAM_TOKENS))
  if (values.MCP_UPSTREAM_TOKEN !== undefined) tokens.set('default', values.MCP_UPSTREAM_TOKEN)
  const paths = new Map(pairsOf(values.MCP_PATHS))
  const { headers, faults: headerFaults } = readUpstreamHeaders(values.MCP_UPSTREAM_HEADERS)
  const upstreams: UpstreamSettings[] = [...values.MCP_UPSTREAM_URL === undefined ? [] : [['default', values.MCP_UPSTREAM_URL] as const], ...pairsOf(values.MCP_UPSTREAMS)]
    .map(([name, url]) => ({ name, url, path: paths.get(name), token: tokens.get(name), headers: headers.get(name) }))
  faults.push(...faultsOf(upstreams, tokens), ...headerFaults, ...pathFaults(upstreams, paths))
  if (![...headers.keys()].every((name) => upstreams.some((upstream) => upstream.name === name))) {
    faults.push('MCP_UPSTREAM_HEADERS must use the names of MCP_UPSTREAMS, or "default" for MCP_UPSTREAM_URL.')
  }
  const origins = values.MCP_ALLOWED_ORIGINS === 'none' ? [] : partsOf(values.MCP_ALLOWED_ORIGINS)
  if (!origins.every(isOriginPattern)) faults.push('MCP_ALLOWED_ORIGINS must be origins such as https://app.example.com, http://localhost:* or vscode-webview://*, separated by commas, with nothing after the port; or none.')
  if (upstreams.length === 0) {
    if (values.MCP_POLICY_FILE !== undefined || tokens.size > 0 || headers.size > 0 || paths.size > 0) faults.push('MCP_UPSTREAM_URL or MCP_UPSTREAMS is needed with the other MCP settings.')
    return { gateway: undefined, faults }
  }
  return {
    gateway: {
      upstreams,
      policyFile: values.MCP_POLICY_FILE,
      signingKeys: values.MCP_SIGNING_KEYS,
      allowedOrigins: values.MCP_ALLOWED_ORIGINS === undefined ? undefined : origins,
      answerTimeoutMs: values.MCP_ANSWER_TIMEOUT_MS,
      bodyBytesMax: values.MCP_BODY_BYTES_MAX
    },
    faults
  }
}

function faultsOf (upstreams: readonly UpstreamSettings[], tokens: ReadonlyMap<string, string>): string[] {
  const faults: string[] = []
  const names = upstreams.map((upstream) => upstream.name)
  for (const upstream of upstreams) {
    if (!name.test(upstream.name)) faults.push('MCP_UPSTREAMS must be name=url, separated by commas; a name consists of lower-case letters, digits and dashes.')
    else if (!isPlainUrl(upstream.url)) faults.push(`The URL of the MCP upstream ${upstream.name} must be http: or https:, without a user or a fragment. A credential belongs in MCP_UPSTREAM_TOKEN or MCP_UPSTREAM_TOKENS.`)
  }
  if (new Set(names).size < names.length) faults.push('MCP_UPSTREAMS: a name occurs twice; "default" is the name of MCP_UPSTREAM_URL.')
  for (const [of, held] of tokens) {
    if (!names.includes(of)) faults.push('MCP_UPSTREAM_TOKENS must be name=token with the names of MCP_UPSTREAMS, and MCP_UPSTREAM_TOKEN belongs to MCP_UPSTREAM_URL.')
    if (!token.test(held)) faults.push('MCP_UPSTREAM_TOKEN and MCP_UPSTREAM_TOKENS must be 8 or more characters of printable ASCII without spaces.')
  }
  return faults
}

const path = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/
// The first parts of the paths that this service has already.
const taken = new Set(['v1', 'settings', 'forward-auth', 'livez', 'readyz', 'metrics', 'openapi.json', 'docs', 'llms.txt', 'authorize', 'register', 'token'])

function pathFaults (upstreams: readonly UpstreamSettings[], paths: ReadonlyMap<string, string>): string[] {
  const faults: string[] = []
  if (![...paths.keys()].every((name) => upstreams.some((upstream) => upstream.name === name))) faults.push('MCP_PATHS must be name=path with the names of MCP_UPSTREAMS, or "default" for MCP_UPSTREAM_URL.')
  if (![...paths.values()].every((text) => path.test(text))) faults.push(mustBe('MCP_PATHS', 'A path begins with a slash, ends without one, and has letters, digits, dashes, underscores, dots and tildes between slashes.'))
  if ([...paths.values()].some((text) => taken.has(text.split('/')[1] ?? ''))) faults.push('MCP_PATHS: a path begins like a path of this service. Choose another path.')
  const served = upstreams.map((upstream) => upstream.path ?? defaultMcpPath(upstream.name))
  if (new Set(served.map((text) => text.toLowerCase())).size < served.length) faults.push('MCP_PATHS: two upstreams have the same path. Give each upstream a different path.')
  return faults
}

function mustBe (name: SettingName, more: string): string {
  return `${name} must be ${notesOf(name).advice}. ${more}`
}

function isPlainUrl (text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, hash } = new URL(text)
  return /^https?:$/.test(protocol) && username === '' && password === '' && hash === ''
}

function pairsOf (text: string | undefined): (readonly [string, string])[] {
  return partsOf(text).map((part) => {
    const at = part.indexOf('=')
    return [part.slice(0, Math.max(at, 0)), part.slice(at + 1)] as const
  })
}
