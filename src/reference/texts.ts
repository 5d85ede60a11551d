/*
 * Texts of the API description that are not in its schemas: a paragraph and examples for each operation, and the headers of its answers. A test
 * sends every example to the service, and fails for an operation without a text.
 */

interface Text {
  readonly description: string
  /** An example of the request body. */
  readonly body?: unknown
  /** An example of the successful answer. */
  readonly answer?: unknown
  /** The headers of a 201. */
  readonly headers?: readonly string[]
}

const key = {
  id: '01994f6e-5a3c-7d11-9c55-3e1f0a7b2c4d',
  workspace_id: 'acme',
  owner_id: 'ada',
  name: 'Claude Desktop',
  scope: 'mcp:read',
  hint: '3kTq…B3x9',
  status: 'active',
  metadata: { team: 'research' },
  created_at: '2026-11-25T09:30:00.000Z',
  created_by: 'ops',
  expires_at: '2099-01-31T12:00:00.000Z',
  last_used_at: null,
  revoked_at: null,
  revoked_by: null,
  revoke_reason: null,
  allowed_cidrs: ['203.0.113.0/24'],
  rate_limit: { requests: 100, window_seconds: 60 },
  rotated_at: null,
  previous_token: null
} as const

const policy = { max_lifetime_days: 365, default_lifetime_days: 90, unused_days: 180 } as const

export const operations: Readonly<Record<string, Text>> = {
  createKey: {
    description: 'Only this answer contains the token: the service stores only its SHA-256. Send an `Idempotency-Key` to be able to repeat the call: within 24 hours the same `Idempotency-Key` with the same body creates one key, and a repeat is a 409 `already_created` with `key_id`.',
    body: { name: 'Claude Desktop', scope: 'mcp:read', owner_id: 'ada', expires_at: '2099-01-31T12:00:00Z', metadata: { team: 'research' }, allowed_cidrs: ['203.0.113.0/24'], rate_limit: { requests: 100, window_seconds: 60 } },
    answer: { ...key, token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9' },
    headers: ['Location']
  },
  importKeys: {
    description: 'Send the digests, not the tokens themselves. Either all keys are imported or none. Repeating the call is safe: tokens that the workspace already has are counted and not changed. A token of another workspace is a 409 `token_taken`. An imported token works if it begins with `TOKEN_PREFIX` or with one of `TOKEN_PREFIXES_ACCEPTED`.',
    body: { keys: [{ token_sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', name: 'CI of the shop', scope: 'mcp:read', hint: '3kTq…B3x9', owner_id: 'ada', created_at: '2026-03-01T08:00:00Z' }] },
    answer: { imported: 1, already_there: 0 }
  },
  listKeys: {
    description: 'A page of keys. To get the next page, send `next_cursor` back unchanged as `cursor`, with the same filters.',
    answer: { keys: [key], next_cursor: null }
  },
  getKey: {
    description: 'A key of another workspace is a 404, like a key that does not exist.',
    answer: key
  },
  updateKey: {
    description: 'An omitted field stays unchanged; null removes the value. Every change that restricts the key is in force on every replica when the answer arrives.',
    body: { name: 'Claude Desktop, old laptop', expires_at: '2098-01-31T12:00:00Z' },
    answer: { ...key, name: 'Claude Desktop, old laptop', expires_at: '2098-01-31T12:00:00.000Z' }
  },
  rotateKey: {
    description: 'The key keeps its id and its history, and gets a new token. With `grace_seconds` 0, every replica refuses the previous token when the answer arrives. Another rotation ends an older token at once. A rotation does not extend the expiry of the key. Accepts an `Idempotency-Key`: a repeat is a 409 `already_rotated` with `key_id`.',
    body: { grace_seconds: 86400, grace_starts: 'first_use' },
    answer: { ...key, rotated_at: '2026-11-25T10:00:00.000Z', previous_token: { hint: '3kTq…B3x9', ends_at: '2026-12-25T10:00:00.000Z' }, token: 'nops_9QwE7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00C4y8' }
  },
  getPolicy: {
    description: 'The rules for the lifetime of keys in the workspace. The settings of the service apply too, where they are stricter; the default lifetime of the workspace takes precedence.',
    answer: policy
  },
  setPolicy: {
    description: 'Replaces the whole policy: an omitted or null field means no rule. The policy applies when a key is created, edited or rotated. With `apply: "all"` it also shortens the existing keys, in force on every replica when the answer arrives.',
    body: { max_lifetime_days: 365, default_lifetime_days: 90, unused_days: 180 },
    answer: policy
  },
  revokeKey: {
    description: 'Answers when every replica refuses the key: normally within milliseconds; within the trust window and a margin when a replica is dead or disconnected. Repeating is safe, and is a 204 again. After a 503 it is not known whether the key was revoked: repeat the call.',
    body: { reason: 'The laptop was lost.' }
  },
  revokeWorkspace: {
    description: 'One transaction, in force on every replica when the answer arrives. Keys that are created afterwards are not affected.',
    body: { reason: 'The contract has ended.' },
    answer: { revoked: 1 }
  },
  listAudit: {
    description: 'Each row was written in the same transaction as the change. A row never contains a token.',
    answer: {
      entries: [{
        id: '01994f6e-5a3d-7c20-8b11-7a3e5f9d1c22', workspace_id: 'acme', key_id: key.id, action: 'key.created', actor: 'ops', at: '2026-11-25T09:30:00.000Z', details: { name: 'Claude Desktop', scope: 'mcp:read', expires_at: '2099-01-31T12:00:00.000Z' }
      }],
      next_cursor: null
    }
  },
  getKeyUsage: {
    description: 'Counts are written every few seconds, so the newest uses may still be missing. With `Accept: text/csv` the answer is a table of the days.',
    answer: {
      days: [{ day: '2026-11-25', accepted: 1204, refused: { insufficient_scope: 3 } }],
      tools: [{ tool: 'search', calls: 310, denied: 0, failed: 2 }],
      last: { at: '2026-11-25T09:30:00.000Z', address: '203.0.113.9', client: 'claude-code/2.1.4' }
    }
  },
  listCalls: {
    description: 'Arguments and results of calls are never recorded. With `Accept: text/csv` the answer is a table, and the `Link` header has the next page.',
    answer: {
      calls: [{ at: '2026-11-25T09:30:00.000Z', key_id: key.id, upstream: 'default', method: 'tools/call', tool: 'search', decision: 'passed', status: 200, ms: 41 }],
      next_cursor: null
    }
  },
  listEvents: {
    description: 'Events of all workspaces. Each event was written in the same transaction as the change. Ask again every few seconds with `after` set to `next_after`: no event is missing and none comes twice. Events are kept for 30 days; an `after` that is no longer known is a 400. An event never contains a token.',
    answer: {
      events: [{ id: '3f2b8c1e-6a4d-4b7f-9c55-0d1e2f3a4b5c', type: 'key.created', timestamp: '2026-11-25T09:30:00.000Z', data: { key_id: key.id, key } }],
      next_after: '3f2b8c1e-6a4d-4b7f-9c55-0d1e2f3a4b5c'
    }
  },
  verify: {
    description: 'For internal services that received a token. A refusal is a 200 with `valid: false` and a reason. If the answer is not known, the status is 503, which says nothing about the token.',
    body: { token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9', scope: 'mcp:read', address: '203.0.113.9' },
    answer: {
      valid: true,
      key: { id: key.id, workspace_id: 'acme', owner_id: 'ada', name: key.name, scope: 'mcp:read', scopes: ['mcp:read'], expires_at: key.expires_at, metadata: { team: 'research' } }
    }
  },
  introspect: {
    description: 'The same check as `/v1/verify` in the format of RFC 7662, for software that already supports it. For a token that is not valid the answer is `{"active": false}`, without a reason. OAuth clients may send `client_secret_basic` or `client_secret_post`: `client_id` is the name of a service or management token, `client_secret` that token.',
    body: { token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9', scope: 'mcp:read', address: '203.0.113.9' },
    answer: { active: true, scope: 'mcp:read', sub: 'ada', client_id: key.id, workspace_id: 'acme', exp: 4073544000, iat: 1764063000, iss: 'https://keys.example.com', token_type: 'Bearer' }
  },
  forwardAuth: {
    description: 'For nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth` and Envoy `ext_authz`, which use the method of the request of their client. Every method gets the same answer, including methods that OpenAPI cannot describe, and so does every path below this one. Send the key in `Authorization: Bearer`. The answer always has all four `x-auth-…` headers, so that a proxy that copies them overwrites the headers that a client sent.'
  },
  reportLeaksByGithub: {
    description: 'Only for GitHub\'s secret scanning, as its partner contract defines: the bytes of the body are signed, and no other credential is needed. An active key is revoked as `leaked`. Repeating a report is safe. 503 if the public keys of GitHub cannot be read.',
    body: [{ token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9', type: 'navis_keys_token', url: 'https://github.com/octocat/example/blob/main/config.json', source: 'content' }],
    answer: [{ token_hash: 'z2Qy3dEXAMPLEnotARealHashOfAnyTokenAtAll1a0=', token_type: 'navis_keys_token', label: 'true_positive' }]
  },
  reportLeaks: {
    description: 'For secret scanners and for people who find a token. Repeating a report is safe: a key that had already ended is a `true_positive` with `revoked: false`. The history of the key says where the token was found.',
    body: [{ token_sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', url: 'https://example.com/a-public-file', source: 'a scanner' }],
    answer: [{ token_sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', result: 'false_positive', revoked: false }]
  },
  revokeToken: {
    description: 'The holder of a token may revoke it; no other credential is needed. A previous token in its grace period ends alone; the newest token ends the whole key.',
    body: { token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9' },
    answer: {}
  },
  livez: {
    description: 'Says that the process runs, and nothing about its dependencies. Use it to decide whether to restart the process.',
    answer: { status: 'live' }
  },
  readyz: {
    description: 'Use it to decide whether to send requests to this replica. The body names each dependency and its state.'
  },
  metrics: {
    description: 'For Prometheus. docs/metrics.md explains each metric.'
  }
}

/** The texts of the gateway. */
export const gatewayTexts = {
  callMcp: {
    summary: 'Send an MCP message to the server behind the gateway',
    description: 'Streamable HTTP of MCP, in its revisions from 2024-11-05 to 2026-07-28. A key with `mcp:read` may call only the read-only tools, and sees only these in `tools/list`; every other call needs `mcp:write`.'
  },
  openMcpStream: {
    summary: 'Open a stream of messages from the server',
    description: 'For revisions of MCP that have such streams. The stream ends when its key is revoked or expires.'
  },
  endMcpSession: {
    summary: 'End a session',
    description: 'For revisions of MCP that have sessions.'
  }
} as const

/** The meaning of each type of event. */
export const eventTexts: Readonly<Record<string, string>> = {
  'key.created': 'A key was created or imported',
  'key.updated': 'A key was edited, or shortened by a policy',
  'key.rotated': 'A key got a new token',
  'key.revoked': 'A key was revoked',
  'key.expiring': 'A key expires within 7 days, or within 1 day',
  'key.expired': 'A key has expired',
  'key.unused': 'A key has not been used for a long time, and will be revoked in 7 days',
  'key.leaked': 'A token of a key was reported as leaked',
  'key.ended_token_used': 'A token that had ended was used'
}

export const tags = [
  { name: 'keys', description: 'Create, show, change and revoke keys, with a management token.' },
  { name: 'policy', description: 'How long the keys of a workspace may live, and how long they may be unused.' },
  { name: 'audit', description: 'The audit trail: who changed which key, how and when.' },
  { name: 'usage', description: 'The usage of keys: by day, by tool, and for each call.' },
  { name: 'leaks', description: 'Report leaked tokens.' },
  { name: 'events', description: 'The events of keys, in order.' },
  { name: 'webhooks', description: 'The requests that the service sends to the URLs of `WEBHOOK_URLS`.' },
  { name: 'verification', description: 'Check a token: whose key it is, and what it may do.' },
  { name: 'mcp', description: 'The gateway in front of MCP servers, for API keys. It exists if `MCP_UPSTREAM_URL` or `MCP_UPSTREAMS` is set; `MCP_PATHS` sets other paths.' },
  { name: 'operations', description: 'For the operators of the service.' }
] as const

const text = { type: 'string' }

export const headers = {
  Location: { description: 'Path of the new key.', schema: { type: 'string', format: 'uri-reference' } },
  'WWW-Authenticate': { description: 'RFC 6750: the scheme and, if a token was sent, the reason for the refusal.', schema: text },
  'Retry-After': { description: 'Seconds to wait before the next try.', schema: { type: 'integer', minimum: 0 } },
  RateLimit: { description: 'For a key with a rate limit: how many requests are left (`r`), and after how many seconds the limit is fully available again (`t`).', schema: text, example: '"key";r=99;t=1' },
  'RateLimit-Policy': { description: 'For a key with a rate limit: the number of requests (`q`) per window of seconds (`w`).', schema: text, example: '"key";q=100;w=60' },
  'x-auth-key-id': { description: 'The id of the key.', schema: text },
  'x-auth-workspace-id': { description: 'The workspace of the key.', schema: text },
  'x-auth-owner-id': { description: 'The owner of the key; empty for a key without an owner.', schema: text },
  'x-auth-scopes': { description: 'The scope of the key and the scopes that it implies, separated by spaces.', schema: text }
} as const

/** The headers that every answer of a status has. */
export const headersOfStatus: Readonly<Record<string, readonly string[]>> = {
  401: ['WWW-Authenticate'],
  429: ['Retry-After'],
  503: ['Retry-After']
}

export const forwardAuthParameters = [
  { name: 'scope', in: 'query', description: 'The scope that the request needs. Without it, every active key is accepted.', schema: { type: 'string', enum: ['mcp:read', 'mcp:write'] } },
  { name: 'mcp', in: 'query', description: '`1`, or the name of an upstream of the gateway: the headers of the MCP call decide whether `mcp:read` or `mcp:write` is needed.', schema: text }
] as const
