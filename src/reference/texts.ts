/*
 * What people read of the API beside its schemas: a paragraph and an example for each operation, and the headers of its answers. A test
 * runs every example against the service, and fails for an operation that has none here.
 */

interface Text {
  readonly description: string
  /** Of the request's body. */
  readonly body?: unknown
  /** Of the answer when all is well. */
  readonly answer?: unknown
  /** That a 201 has. */
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
    description: 'The token is in this answer and nowhere else, ever: only its SHA-256 is kept. Send an `Idempotency-Key` to be able to repeat the call: the same one with the same body makes one key within 24 hours, and the repeat is a 409 `already_created` with `key_id`.',
    body: { name: 'Claude Desktop', scope: 'mcp:read', owner_id: 'ada', expires_at: '2099-01-31T12:00:00Z', metadata: { team: 'research' }, allowed_cidrs: ['203.0.113.0/24'], rate_limit: { requests: 100, window_seconds: 60 } },
    answer: { ...key, token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9' },
    headers: ['Location']
  },
  importKeys: {
    description: 'The tokens themselves are neither needed nor taken. All of the keys or none; repeating the call does no harm, since tokens that the workspace has already are counted and left as they are. A token of another workspace is a 409 `token_taken`. A token works here if it begins as `TOKEN_PREFIX` or `TOKEN_PREFIXES_ACCEPTED` say.',
    body: { keys: [{ token_sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', name: 'CI of the shop', scope: 'mcp:read', hint: '3kTq…B3x9', owner_id: 'ada', created_at: '2026-03-01T08:00:00Z' }] },
    answer: { imported: 1, already_there: 0 }
  },
  listKeys: {
    description: 'A page of keys. `next_cursor` leads to the next one; send it back unchanged, with the same filter.',
    answer: { keys: [key], next_cursor: null }
  },
  getKey: {
    description: 'A key of another workspace is a 404, like one that does not exist.',
    answer: key
  },
  updateKey: {
    description: 'A member that is left out stays as it is; null is none. Whatever narrows the key is in force on every replica when the answer comes.',
    body: { name: 'Claude Desktop, old laptop', expires_at: '2098-01-31T12:00:00Z' },
    answer: { ...key, name: 'Claude Desktop, old laptop', expires_at: '2098-01-31T12:00:00.000Z' }
  },
  rotateKey: {
    description: 'One key, one id, one history, and a new token. With `grace_seconds` 0 the token before is refused everywhere when the answer comes. Rotating again ends an older token at once, and a rotation lengthens no life. Takes an `Idempotency-Key`: the repeat is a 409 `already_rotated` with `key_id`.',
    body: { grace_seconds: 86400, grace_starts: 'first_use' },
    answer: { ...key, rotated_at: '2026-11-25T10:00:00.000Z', previous_token: { hint: '3kTq…B3x9', ends_at: '2026-12-25T10:00:00.000Z' }, token: 'nops_9QwE7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00C4y8' }
  },
  getPolicy: {
    description: 'What keys of the workspace are bound to. The setting of the service counts as well, where it is stricter; the default is the workspace\'s own.',
    answer: policy
  },
  setPolicy: {
    description: 'Replaces the whole policy: a member that is left out or null is none. It binds making, editing and rotating; with `apply: "all"` it also shortens what exists, in force on every replica when the answer comes.',
    body: { max_lifetime_days: 365, default_lifetime_days: 90, unused_days: 180 },
    answer: policy
  },
  revokeKey: {
    description: 'Answers when every replica refuses the key: within milliseconds when all is well, within the trust window and a margin when a replica is dead or cut off. Repeating is safe, and is a 204 again. After a 503 the revocation may or may not have been made: repeat it.',
    body: { reason: 'The laptop was lost.' }
  },
  revokeWorkspace: {
    description: 'One transaction, in force on every replica when the answer comes. Keys that are made afterwards are not affected.',
    body: { reason: 'The contract has ended.' },
    answer: { revoked: 1 }
  },
  listAudit: {
    description: 'Each row was written in the transaction of the change that it tells of. There is never a token in one.',
    answer: {
      entries: [{
        id: '01994f6e-5a3d-7c20-8b11-7a3e5f9d1c22', workspace_id: 'acme', key_id: key.id, action: 'key.created', actor: 'ops', at: '2026-11-25T09:30:00.000Z', details: { name: 'Claude Desktop', scope: 'mcp:read', expires_at: '2099-01-31T12:00:00.000Z' }
      }],
      next_cursor: null
    }
  },
  getKeyUsage: {
    description: 'Counts are written every few seconds, so the newest uses may still be missing. `Accept: text/csv` answers with the days as a table.',
    answer: {
      days: [{ day: '2026-11-25', accepted: 1204, refused: { insufficient_scope: 3 } }],
      tools: [{ tool: 'search', calls: 310, denied: 0, failed: 2 }],
      last: { at: '2026-11-25T09:30:00.000Z', address: '203.0.113.9', client: 'claude-code/2.1.4' }
    }
  },
  listCalls: {
    description: 'Never an argument or a result of a call. `Accept: text/csv` answers with a table, the next page in the `Link` header.',
    answer: {
      calls: [{ at: '2026-11-25T09:30:00.000Z', key_id: key.id, upstream: 'default', method: 'tools/call', tool: 'search', decision: 'passed', status: 200, ms: 41 }],
      next_cursor: null
    }
  },
  listEvents: {
    description: 'Of all workspaces. Each event was written in the transaction of what it tells of. Ask again with `after` set to `next_after`, every few seconds: no event is left out and none comes twice. Events are kept for 30 days; an `after` that is not known any more is a 400. There is never a token in one.',
    answer: {
      events: [{ id: '3f2b8c1e-6a4d-4b7f-9c55-0d1e2f3a4b5c', type: 'key.created', timestamp: '2026-11-25T09:30:00.000Z', data: { key_id: key.id, key } }],
      next_after: '3f2b8c1e-6a4d-4b7f-9c55-0d1e2f3a4b5c'
    }
  },
  verify: {
    description: 'For internal services that were handed a token. A refusal is a 200 with `valid: false` and a reason. That the answer is not known is never among the reasons: it is a 503, and says nothing about the token.',
    body: { token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9', scope: 'mcp:read', address: '203.0.113.9' },
    answer: {
      valid: true,
      key: { id: key.id, workspace_id: 'acme', owner_id: 'ada', name: key.name, scope: 'mcp:read', scopes: ['mcp:read'], expires_at: key.expires_at, metadata: { team: 'research' } }
    }
  },
  introspect: {
    description: 'The same question as `/v1/verify` in the words of RFC 7662, for software that speaks them already. A token that is good for nothing is `{"active": false}`, without a reason. OAuth clients may send `client_secret_basic` or `client_secret_post`: `client_id` is the name of a service or management token, `client_secret` that token.',
    body: { token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9', scope: 'mcp:read', address: '203.0.113.9' },
    answer: { active: true, scope: 'mcp:read', sub: 'ada', client_id: key.id, workspace_id: 'acme', exp: 4073544000, iat: 1764063000, iss: 'https://keys.example.com', token_type: 'Bearer' }
  },
  forwardAuth: {
    description: 'For nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth` and Envoy `ext_authz`, which ask with the method of their client: every method is answered alike, also those that OpenAPI has no word for, and so is every path below this one. The key travels in `Authorization: Bearer`. The four `x-auth-…` headers are always there, so that a proxy that copies them overwrites what a client sent.'
  },
  reportLeaksByGithub: {
    description: 'For GitHub\'s secret scanning alone, by its contract with partners: the bytes of the body are signed, and no other credential is asked for. A live key is revoked as `leaked`. A repeat does no harm. 503 where the keys that GitHub signs with cannot be had.',
    body: [{ token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9', type: 'navis_keys_token', url: 'https://github.com/octocat/example/blob/main/config.json', source: 'content' }],
    answer: [{ token_hash: 'z2Qy3dEXAMPLEnotARealHashOfAnyTokenAtAll1a0=', token_type: 'navis_keys_token', label: 'true_positive' }]
  },
  reportLeaks: {
    description: 'For secret scanners and whoever finds a token. Repeating a report does no harm: a key that had ended is a `true_positive` with `revoked: false`. The key\'s history says where the token was found.',
    body: [{ token_sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', url: 'https://example.com/a-public-file', source: 'a scanner' }],
    answer: [{ token_sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', result: 'false_positive', revoked: false }]
  },
  revokeToken: {
    description: 'Whoever has a token may end it, and no other credential is asked for. A token in its grace ends alone, the newest one ends its key.',
    body: { token: 'nops_3kTq7Vw2Xc9LrB5nYd8FhJ4mZs6PgQ1a00B3x9' },
    answer: {}
  },
  livez: {
    description: 'Says that the process turns, and nothing about anything that it needs. Ask it to decide whether to start the process anew.',
    answer: { status: 'live' }
  },
  readyz: {
    description: 'Ask it to decide whether to send requests here. Its body says what is there and what is away.'
  },
  metrics: {
    description: 'For Prometheus. What each measure means stands in docs/metrics.md.'
  }
}

/** Of the gateway, in front of MCP servers. */
export const gatewayTexts = {
  callMcp: {
    summary: 'Send a message of MCP to the server behind the gateway',
    description: 'Streamable HTTP of MCP, in its revisions from 2024-11-05 to 2026-07-28. A key with `mcp:read` may call the tools that are known to read, and sees only these in `tools/list`; every other call needs `mcp:write`.'
  },
  openMcpStream: {
    summary: 'Open a stream of messages from the server',
    description: 'For revisions of MCP that have such streams. The stream ends when its key does.'
  },
  endMcpSession: {
    summary: 'End a session',
    description: 'For revisions of MCP that have sessions.'
  }
} as const

/** When an event of each type is written. */
export const eventTexts: Readonly<Record<string, string>> = {
  'key.created': 'A key was made or imported',
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
  { name: 'keys', description: 'Make, show, change and end keys, with a management token.' },
  { name: 'policy', description: 'How long keys of a workspace may live, and how long they may lie unused.' },
  { name: 'audit', description: 'Who did what to which key when.' },
  { name: 'usage', description: 'What keys were used for, by day, by tool, and call by call.' },
  { name: 'leaks', description: 'Report tokens that were found where they must not be.' },
  { name: 'events', description: 'What happened to keys, in order.' },
  { name: 'webhooks', description: 'What the service sends to the URLs of `WEBHOOK_URLS`.' },
  { name: 'verification', description: 'Whose token is this, and what may it do?' },
  { name: 'mcp', description: 'The gateway in front of MCP servers, for keys. It is there where `MCP_UPSTREAM_URL` or `MCP_UPSTREAMS` is set; `MCP_PATHS` gives it other paths.' },
  { name: 'operations', description: 'For whoever runs the service.' }
] as const

const text = { type: 'string' }

export const headers = {
  Location: { description: 'Where the new key is.', schema: { type: 'string', format: 'uri-reference' } },
  'WWW-Authenticate': { description: 'RFC 6750: the scheme and, for a token that was sent, what is wrong with it.', schema: text },
  'Retry-After': { description: 'Seconds after which trying again makes sense.', schema: { type: 'integer', minimum: 0 } },
  RateLimit: { description: 'Of a key with a rate limit: how many requests are left (`r`), and in how many seconds the limit is whole again (`t`).', schema: text, example: '"key";r=99;t=1' },
  'RateLimit-Policy': { description: 'Of a key with a rate limit: so many requests (`q`) in so many seconds (`w`).', schema: text, example: '"key";q=100;w=60' },
  'x-auth-key-id': { description: 'The id of the key.', schema: text },
  'x-auth-workspace-id': { description: 'Its workspace.', schema: text },
  'x-auth-owner-id': { description: 'Its owner; empty for a key without one.', schema: text },
  'x-auth-scopes': { description: 'Its scope and what that implies, separated by spaces.', schema: text }
} as const

/** The headers that every answer of a status has. */
export const headersOfStatus: Readonly<Record<string, readonly string[]>> = {
  401: ['WWW-Authenticate'],
  429: ['Retry-After'],
  503: ['Retry-After']
}

export const forwardAuthParameters = [
  { name: 'scope', in: 'query', description: 'The scope that the request needs. Without it any living key will do.', schema: { type: 'string', enum: ['mcp:read', 'mcp:write'] } },
  { name: 'mcp', in: 'query', description: '`1`, or the name of an upstream of the gateway: read or write by the headers of the MCP call.', schema: text }
] as const
