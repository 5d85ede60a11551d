/* eslint no-template-curly-in-string: 'off' -- clients fill them in */
import { readFileSync } from 'node:fs'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { ManagedKey } from '../../src/core/key-record.ts'
import { noPolicy } from '../../src/core/policy.ts'
import { clientConfigurations } from '../../src/pages/views/client-configurations.ts'
import { auditPage } from '../../src/pages/views/audit.ts'
import { blankForm, createKeyPage, termsOf } from '../../src/pages/views/create-key.ts'
import { html } from '../../src/pages/views/html.ts'
import { keyCreatedPage } from '../../src/pages/views/key-created.ts'
import { keyListPage } from '../../src/pages/views/key-list.ts'
import { expiresSoon, isUnused } from '../../src/pages/views/key-row.ts'
import { pathsAt, type Site } from '../../src/pages/views/page.ts'
import { keyPage, untouched } from '../../src/pages/views/key-page.ts'
import { messagePage } from '../../src/pages/views/message.ts'
import { allRevokedPage, peoplePage, revokeAllPage } from '../../src/pages/views/people.ts'
import { policyPage } from '../../src/pages/views/policy.ts'
import { revokeDone, revokePage, revokeUnknown, revokeWaiting } from '../../src/pages/views/revoke-key.ts'
import { keyRotatedPage, rotatePage } from '../../src/pages/views/rotate-key.ts'
import { signInPage } from '../../src/pages/views/sign-in.ts'
import { usageSection } from '../../src/pages/views/usage.ts'
import { dayMs, relativeTime } from '../../src/pages/views/times.ts'

const now = Date.parse('2026-11-22T12:00:00Z')
const minuteMs = 60_000
const terms = termsOf(noPolicy, now)
const site: Site = { assets: { stylesheet: '/a.css', script: '/a.js', icon: '/a.svg' }, paths: pathsAt({ apps: '/settings/connected-apps', settings: '/settings' }), brand: { name: 'Navis Keys', logo: undefined, stylesheet: undefined, href: '/settings/connected-apps' }, hasSignIn: true }
const hostile = '"><script>alert(1)</script><b x=\'y\'>&amp;`${1}'

function keyWith (fields: Partial<ManagedKey>): ManagedKey {
  return {
    id: '019ab000-0000-7000-8000-000000000001',
    workspaceId: 'acme',
    ownerId: 'ada',
    name: 'CI pipeline',
    scope: 'mcp:read',
    hint: '3kTq…B3x9',
    status: 'active',
    metadata: {},
    createdAt: now - dayMs,
    createdBy: 'user:ada',
    expiresAt: null,
    lastUsedAt: null,
    revokedAt: null,
    revokedBy: null,
    revokeReason: null,
    allowedCidrs: null,
    rateLimit: null,
    rotatedAt: null,
    previousToken: null,
    ...fields
  }
}

t.test('whatever people write stays text, on every page', async (t) => {
  const viewer = { name: hostile, workspaceId: hostile, ownerId: 'joan', admin: true, formToken: hostile }
  const key = keyWith({ name: hostile, ownerId: hostile, lastUsedAt: now })
  const shared = { site, viewer, key, now, tokenPrefix: hostile }
  const entry = { id: key.id, workspaceId: 'acme', keyId: key.id, action: hostile, actor: hostile, at: now, details: { reason: hostile } }
  const owner = { ownerId: hostile, unrevoked: 1, active: 1, neverUsed: 1, usedLately: 0, lastUsedAt: null, isExact: true }
  const pages = {
    list: keyListPage({ ...shared, keys: [key, keyWith({ name: hostile, status: 'revoked', revokedAt: now })], query: { kind: 'all', q: hostile, owner: hostile, sort: 'newest', cursor: undefined, before: undefined }, count: { count: 2, isExact: true }, unusedDays: 90, none: false, previousCursor: hostile, nextCursor: hostile, revoked: key }),
    create: createKeyPage({ ...shared, terms, form: { ...blankForm(terms), name: hostile, expiryDate: hostile, limits: { addresses: hostile, rateRequests: hostile, rateWindow: hostile } }, faults: { name: hostile, expiry: hostile, addresses: hostile, rate: hostile }, formId: hostile, firstDay: hostile, lastDay: hostile }),
    created: keyCreatedPage({ ...shared, token: hostile, hasMcpServer: true, configurations: [{ id: 'http', client: hostile, steps: [{ says: hostile, text: hostile, link: { href: hostile, label: hostile } }] }] }),
    key: keyPage({ ...shared, form: untouched(key), faults: {}, terms, firstDay: hostile, lastDay: hostile, usage: { days: [], tools: [{ tool: hostile, calls: 1, denied: 0, failed: 0 }], last: { at: now, address: hostile, client: hostile } }, history: [entry], earlier: hostile, saved: true, awaitsFirstUse: true }),
    rotate: rotatePage({ ...shared, formId: hostile, last: { at: now, address: hostile, client: hostile }, maxDays: 1, fault: hostile }),
    rotated: keyRotatedPage({ ...shared, hintBefore: hostile, isUseTold: true, token: hostile, hasMcpServer: false, configurations: [] }),
    people: peoplePage({ ...shared, q: hostile, owners: [owner], next: hostile, isFirst: false }),
    revokeAll: revokeAllPage({ ...shared, owner }),
    allRevoked: allRevokedPage({ ...shared, ownerId: hostile, revoked: 1 }),
    policy: policyPage({ site, viewer, form: { maxLifetimeDays: hostile, defaultLifetimeDays: hostile, unusedDays: hostile }, apply: 'all', faults: { unusedDays: hostile }, settings: noPolicy, effects: [hostile], saved: hostile }),
    audit: auditPage({ ...shared, csvRowsMax: 1, form: { actor: hostile, key: hostile, from: hostile, to: hostile }, entries: [entry], nextCursor: hostile, isFirst: false }),
    revoke: revokePage({ ...shared, last: { at: now, address: hostile, client: hostile } }),
    waiting: revokeWaiting({ ...shared, waitsFor: 'store', longestMs: 1 }),
    done: revokeDone(site, key),
    unknown: revokeUnknown(site, key),
    signIn: signInPage({ site, way: 'management-token', workspaceId: hostile, fault: hostile }),
    message: messagePage({ site, viewer, title: hostile, text: hostile, next: { href: hostile, label: hostile } })
  }
  for (const [name, page] of Object.entries(pages)) {
    t.notMatch(String(page), /<script>alert|<b x|x='y'/, name)
    t.match(String(page), '&quot;&gt;&lt;script&gt;', `${name} shows it`)
  }
})

t.test('markup passes through markup once, lists are joined, and what is not there leaves nothing', async (t) => {
  t.equal(String(html`<p>${html`<b>${'<'}</b>`}${['&', html`<i></i>`]}${false}${null}${undefined}${0}</p>`), '<p><b>&lt;</b>&amp;<i></i>0</p>')
})

const times: ReadonlyArray<{ distanceMs: number, says: string }> = [
  { distanceMs: 0, says: 'just now' },
  { distanceMs: -59_999, says: 'just now' },
  { distanceMs: 1000, says: 'in a moment' },
  { distanceMs: -minuteMs, says: '1 minute ago' },
  { distanceMs: -59 * minuteMs, says: '59 minutes ago' },
  { distanceMs: -60 * minuteMs, says: '1 hour ago' },
  { distanceMs: 60 * minuteMs - 1, says: 'in 1 hour' },
  { distanceMs: -60 * minuteMs + 1, says: '59 minutes ago' },
  { distanceMs: dayMs - 1, says: 'in 1 day' },
  { distanceMs: 60 * dayMs - 1, says: 'in 60 days' },
  { distanceMs: 30 * dayMs - 1, says: 'in 30 days' },
  { distanceMs: 90 * dayMs - 1, says: 'in 3 months' },
  { distanceMs: 35 * 60 * minuteMs, says: 'in 1 day' },
  { distanceMs: 36 * 60 * minuteMs, says: 'in 2 days' },
  { distanceMs: -59 * dayMs, says: '59 days ago' },
  { distanceMs: -131 * dayMs, says: '4 months ago' },
  { distanceMs: -400 * dayMs, says: '13 months ago' },
  { distanceMs: 800 * dayMs, says: 'in 2 years' }
]

t.test('times are said alike by the server and by the script in the browser', async (t) => {
  const script = readFileSync(new URL('../../assets/settings.js', import.meta.url), 'utf8')
  const rule = script.slice(0, script.indexOf('function refreshTimes'))
  const inBrowser = runInNewContext(`${rule}\nrelativeTime`) as typeof relativeTime
  for (const { distanceMs, says } of times) {
    t.equal(relativeTime(now + distanceMs, now), says)
    t.equal(inBrowser(now + distanceMs, now), says)
  }
})

t.test('keys that expire within a week say so', async (t) => {
  t.ok(expiresSoon(keyWith({ expiresAt: now + 7 * dayMs }), now))
  t.notOk(expiresSoon(keyWith({ expiresAt: now + 7 * dayMs + 1 }), now))
  t.notOk(expiresSoon(keyWith({ expiresAt: null }), now))
  t.notOk(expiresSoon(keyWith({ expiresAt: now - 1, status: 'expired' }), now))
})

t.test('keys unused for 90 days say so, counted from their making where they were never used', async (t) => {
  t.ok(isUnused(keyWith({ createdAt: now - 400 * dayMs, lastUsedAt: now - 90 * dayMs }), now, 90))
  t.notOk(isUnused(keyWith({ createdAt: now - 400 * dayMs, lastUsedAt: now - 89 * dayMs }), now, 90))
  t.ok(isUnused(keyWith({ createdAt: now - 90 * dayMs }), now, 90))
  t.notOk(isUnused(keyWith({ createdAt: now - 89 * dayMs }), now, 90))
  t.notOk(isUnused(keyWith({ createdAt: now - 400 * dayMs, status: 'revoked' }), now, 90))
})

t.test('a fresh form has a term: the policy\'s default, else 90 days, and never more than the policy allows', async (t) => {
  const choices = (policy: Parameters<typeof termsOf>[0]) => {
    const { choices, preselected } = termsOf(policy, now)
    return [preselected, ...choices.map(({ label }) => label)]
  }
  t.same(choices(noPolicy), ['90', '7 days', '30 days', '90 days', 'On a date', 'No expiration'])
  t.same(choices({ ...noPolicy, defaultLifetimeDays: 365 }), ['365', '7 days', '30 days', '90 days', '365 days', 'On a date', 'No expiration'])
  t.same(choices({ ...noPolicy, maxLifetimeDays: 45 }), ['45', '7 days', '30 days', '45 days', 'On a date'])
  t.same(choices({ ...noPolicy, maxLifetimeDays: 45, defaultLifetimeDays: 1 }), ['1', '1 day', '7 days', '30 days', 'On a date'])
  const { choices: left } = termsOf({ ...noPolicy, maxLifetimeDays: 45 }, now, now - 20 * dayMs)
  t.same(left.map(({ label }) => label), ['7 days', 'On a date'], 'the maximum counts from the making of the token')
})

t.test('where no MCP server is known, no address of one is made up', async (t) => {
  const connection = { token: 'nops_' + 'a'.repeat(38), tryAt: 'https://keys.example.com/forward-auth' }
  t.same(clientConfigurations({ ...connection, mcpUrl: undefined }).map(({ id }) => id), ['http'])
  const shared = { site, viewer: { name: 'Ada', workspaceId: 'acme', ownerId: 'ada', admin: false, formToken: 'x' }, key: keyWith({}), now, token: connection.token, configurations: [] }
  t.match(String(keyCreatedPage({ ...shared, hasMcpServer: false })), 'does not know an MCP server yet')
  t.notMatch(String(keyCreatedPage({ ...shared, hasMcpServer: true })), 'does not know an MCP server yet')
})

t.test('a client is set up for the server that there is, with the key in the environment wherever the client can', async (t) => {
  const token = 'nops_' + 'a'.repeat(38)
  const configurations = (mcpUrl = 'https://keys.example.com/mcp') => clientConfigurations({ token, tryAt: 'https://keys.example.com/forward-auth', mcpUrl })
  const stepsOf = (id: string, mcpUrl?: string) => configurations(mcpUrl).find((one) => one.id === id)!.steps
  const textsOf = (id: string, mcpUrl?: string) => stepsOf(id, mcpUrl).flatMap(({ text }) => text ?? [])
  const lastOf = (id: string) => textsOf(id).at(-1)!

  t.same(configurations().map(({ client }) => client), ['Claude', 'Claude Desktop', 'Claude Code', 'Cursor', 'VS Code', 'Codex', 'Gemini CLI', 'Windsurf', 'Any HTTP client'])
  const withToken = configurations().filter(({ steps }) => JSON.stringify(steps).includes(token)).map(({ id }) => id)
  t.same(withToken, ['claude', 'claude-desktop', 'http'], 'these alone have no variable to name')
  for (const { id, steps } of configurations()) {
    for (const { text = '' } of steps) if (/^(curl|claude|read|cursor|codex|gemini)/.test(text)) t.notMatch(text, token, `${id}: no command holds the key`)
  }

  t.same(textsOf('claude'), ['https://keys.example.com/mcp', 'Authorization', `Bearer ${token}`])
  t.match(JSON.stringify(stepsOf('claude', 'http://127.0.0.1:8080/mcp')), 'cannot be reached from there')
  t.match(JSON.parse(lastOf('claude-desktop')), { mcpServers: { navis: { command: 'npx', env: { NAVIS_AUTHORIZATION: `Bearer ${token}` } } } })
  t.notMatch(lastOf('claude-desktop'), '--allow-http')
  t.match(textsOf('claude-desktop', 'http://127.0.0.1:8080/mcp').at(-1), '--allow-http', 'mcp-remote refuses plain http without it')
  t.equal(textsOf('claude-code')[1], "claude mcp add --scope project --transport http navis https://keys.example.com/mcp \\\n  --header 'Authorization: Bearer ${NAVIS_KEY}'")
  t.match(textsOf('claude-code', 'https://x/mcp?a=1&b=$(id)')[1], "'https://x/mcp?a=1&b=$(id)'", 'nothing in it is run by the shell')
  const server = { url: 'https://keys.example.com/mcp', headers: { Authorization: 'Bearer ${env:NAVIS_KEY}' } }
  t.same(JSON.parse(lastOf('cursor')), { mcpServers: { navis: server } })
  const cursor = new URL(stepsOf('cursor').find(({ link }) => link !== undefined)!.link!.href)
  t.match(cursor, { protocol: 'cursor:', host: 'anysphere.cursor-deeplink', pathname: '/mcp/install' })
  t.same(JSON.parse(Buffer.from(cursor.searchParams.get('config')!, 'base64').toString()), server)
  const vscode = new URL(stepsOf('vscode')[0]!.link!.href)
  const inputs = [{ type: 'promptString', id: 'navis-key', description: 'Navis key', password: true }]
  t.same(JSON.parse(decodeURIComponent(vscode.search.slice(1))), { name: 'navis', type: 'http', url: server.url, headers: { Authorization: 'Bearer ${input:navis-key}' }, inputs })
  t.match(vscode.href, /^vscode:mcp\/install\?/)
  t.match(lastOf('codex'), 'codex')
  t.match(textsOf('codex')[1], '[mcp_servers.navis]\nurl = "https://keys.example.com/mcp"\nbearer_token_env_var = "NAVIS_KEY"')
  t.match(JSON.parse(textsOf('gemini')[1]!), { mcpServers: { navis: { httpUrl: server.url, headers: { Authorization: 'Bearer $NAVIS_KEY' } } } })
  t.match(JSON.parse(textsOf('windsurf')[1]!), { mcpServers: { navis: { serverUrl: server.url, headers: { Authorization: 'Bearer ${env:NAVIS_KEY}' } } } })
  t.same(textsOf('http').slice(0, 2), ['https://keys.example.com/mcp', `Authorization: Bearer ${token}`])
  t.equal(lastOf('http'), 'curl -i https://keys.example.com/forward-auth -H "Authorization: Bearer $NAVIS_KEY"')
})

t.test('the chart shows every day, and its table the days with use', async (t) => {
  const usage = { days: [{ day: '2026-11-22', accepted: 30, refused: { revoked: 2, expired: 8 } }, { day: '2026-11-20', accepted: 1, refused: {} }], tools: [{ tool: 'search', calls: 7, denied: 2, failed: 1 }], last: null }
  const text = String(usageSection(usage, now))
  t.equal([...text.matchAll(/class="bar-day"/g)].length, 30)
  t.same([...text.matchAll(/class="bar-(?:accepted|refused)"[^>]* height="(\d+)"/g)].map(([, height]) => Number(height)), [2, 72, 24], 'in proportion, and never nothing')
  t.same([...text.matchAll(/<tr><th scope="row">(.*?)<\/th><td>(\d+)<\/td><td>(\d+)<\/td>/g)].map(([, ...cells]) => cells), [['22 Nov', '30', '10'], ['20 Nov', '1', '0'], ['<code>search</code>', '7', '2']])
  t.notMatch(text, /style=/)
  t.match(String(usageSection({ days: [], tools: [], last: null }, now)), 'None.')
})
