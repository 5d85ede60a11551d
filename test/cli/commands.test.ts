import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TokenFormat } from '../../src/core/token.ts'
import { freshDatabase } from '../support/servers.ts'
import { runCli, runCliProcess } from './run-cli.ts'

async function setup (t: Test) {
  const env = { DATABASE_URL: await freshDatabase(t), TRUST_WINDOW_MS: '1000' }
  const cli = async (args: string[], options = {}) => await runCli(args, env, options)
  /** What `--json` prints; the command must succeed. */
  const json = async (args: string[], options = {}): Promise<any> => {
    const { code, stdout, stderr } = await cli([...args, '--json'], options)
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
    return JSON.parse(stdout)
  }
  const create = async (...args: string[]) => await json(['keys', 'create', '--workspace', 'acme', '--name', 'laptop', '--scope', 'mcp:read', ...args])
  const file = (name: string, text: string) => {
    const path = join(t.testdir(), name)
    writeFileSync(path, text)
    return path
  }
  return { env, cli, json, create, file }
}

const acme = ['--workspace', 'acme']
const sha256 = (token: string, encoding: 'hex' | 'base64' = 'hex') => createHash('sha256').update(token).digest(encoding)

t.test('a key is shown, edited, rotated and verified', async (t) => {
  const { cli, json, create } = await setup(t)
  const { id, token } = await create('--owner', 'auth0|ada+x@example.com')
  t.match(await json(['keys', 'get', id, ...acme]), { id, owner_id: 'auth0|ada+x@example.com', status: 'active' })
  t.match(await cli(['keys', 'get', id, ...acme]), { code: 0, stdout: /owner_id +auth0\|ada\+x@example\.com/ })
  t.match(await json(['keys', 'edit', id, ...acme, '--name', 'desk', '--expires', '2099-01-01', '--allowed-cidrs', '203.0.113.0/24,2001:db8::/32', '--rate-limit', '100/60']), {
    name: 'desk', expires_at: '2099-01-01T00:00:00.000Z', allowed_cidrs: ['203.0.113.0/24', '2001:db8::/32'], rate_limit: { requests: 100, window_seconds: 60 }
  })
  t.match(await json(['keys', 'edit', id, ...acme, '--expires', 'none', '--allowed-cidrs', 'none', '--rate-limit', 'none']), { name: 'desk', expires_at: null, allowed_cidrs: null, rate_limit: null })
  t.match(await cli(['verify', '--scope', 'mcp:read'], { input: `${token}\n` }), { code: 0, stdout: /^valid: key / })
  const rotated = await cli(['keys', 'rotate', id, ...acme, '--grace-seconds', '600'])
  t.match(rotated, { code: 0, stdout: /^nops_\w{38}\n$/, stderr: /the previous token .* ends/ })
  t.match(await json(['verify'], { input: rotated.stdout }), { valid: true, key: { id, scopes: ['mcp:read'] } })
  await json(['keys', 'rotate', id, ...acme])
  t.match(await cli(['verify', '--json'], { input: token }), { code: 1, stdout: /"reason": "revoked"/ })
  t.match(await cli(['verify'], { input: 'nops_x' }), { code: 1, stdout: 'refused: malformed\n' })
  t.strictSame((await json(['keys', 'list', ...acme, '--q', 'DES', '--owner', 'auth0|ada+x@example.com', '--scope', 'mcp:read'])).keys.map((key: { id: string }) => key.id), [id])
  t.strictSame((await json(['keys', 'list', ...acme, '--unused-days', '3'])).keys, [])
})

t.test('a key is created with everything that the API takes, and without an end where the policy has a default', async (t) => {
  const { cli, json, create } = await setup(t)
  await json(['policy', 'set', ...acme, '--default-lifetime-days', '30'])
  t.match(await create('--allowed-cidrs', '203.0.113.9, 2001:db8::/32', '--rate-limit', '100/60', '--expires', 'none'), { expires_at: null, allowed_cidrs: ['203.0.113.9/32', '2001:db8::/32'], rate_limit: { requests: 100, window_seconds: 60 } })
  t.match(await create('--allowed-cidrs', 'none', '--rate-limit', 'none'), { expires_at: /^20/, allowed_cidrs: null, rate_limit: null })
  await json(['policy', 'set', ...acme, '--max-lifetime-days', '90'])
  t.match(await cli(['keys', 'create', ...acme, '--name', 'x', '--scope', 'mcp:read', '--expires', 'none']), { code: 2, stdout: '', stderr: /\/expires_at: .*90 days/ })
})

t.test('what is wrong with a call is 2 whether the parser or the service finds it; what is refused for another reason is 1', async (t) => {
  const { cli, create } = await setup(t)
  const { id } = await create()
  const made = ['keys', 'create', ...acme, '--scope', 'mcp:read', '--name']
  const rows: ReadonlyArray<readonly [code: number, args: readonly string[], says: RegExp]> = [
    [2, [...made, ''], /\/name: /],
    [2, [...made, 'x', '--allowed-cidrs', '10.0.0.1/8'], /\/allowed_cidrs\/0: .*10\.0\.0\.0\/8/],
    [2, [...made, 'x', '--rate-limit', '0/60'], /\/rate_limit\/requests: /],
    [2, ['keys', 'edit', id, ...acme, '--expires', '2020-01-01'], /\/expires_at: /],
    [2, ['keys', 'list', ...acme, '--cursor', 'x'], /cursor/],
    [2, ['keys', 'usage', id, ...acme, '--from', 'yesterday'], /day such as/],
    [2, ['policy', 'set', ...acme, '--max-lifetime-days', '1', '--default-lifetime-days', '2'], /default_lifetime_days/],
    [1, ['keys', 'get', '01900000-0000-7000-8000-000000000000', ...acme], /no such key/],
    [1, ['keys', 'rotate', 'x', ...acme], /no such key/]
  ]
  for (const [code, args, says] of rows) t.match(await cli([...args]), { code, stdout: '', stderr: says }, args.join(' '))
  await cli(['keys', 'revoke', id, ...acme])
  for (const args of [['rotate', id], ['edit', id, '--name', 'x']]) t.match(await cli(['keys', ...args, ...acme, '--json']), { code: 1, stderr: /"code":"key_revoked"/ })
})

t.test('keys of an owner are ended together, and everyone\'s only when that is said', async (t) => {
  const { cli, json, create } = await setup(t)
  const [ada, ben] = [await create('--owner', 'ada'), await create('--owner', 'ben')]
  t.strictSame(await json(['keys', 'revoke-all', ...acme, '--owner', 'ada', '--reason', 'left']), { revoked: 1 })
  t.match(await json(['keys', 'get', ada.id, ...acme]), { status: 'revoked', revoke_reason: 'left' })
  t.match(await json(['keys', 'get', ben.id, ...acme]), { status: 'active' })
  t.match(await cli(['keys', 'revoke-all', ...acme]), { code: 2, stderr: /--owner.*--everyone/ })
  t.match(await cli(['keys', 'revoke-all', ...acme, '--everyone', '--owner', 'ada']), { code: 2 })
  t.strictSame(await json(['keys', 'revoke-all', ...acme, '--everyone']), { revoked: 1 })
  await create()
  t.match(await cli(['keys', 'revoke-all', ...acme, '--everyone']), { code: 0, stderr: /^Revoked 1 key in workspace/ })
})

t.test('a person is erased: the keys are revoked, and nothing names the person any more', async (t) => {
  const { cli, json, create } = await setup(t)
  const [ada, ben] = [await create('--owner', 'auth0|ada'), await create('--owner', 'ben')]
  t.strictSame(await json(['people', 'erase', 'auth0|ada', ...acme]), { revoked: 1, erased: 1 })
  await create('--owner', 'carl')
  t.match(await cli(['people', 'erase', 'carl', ...acme]), { code: 0, stderr: /^Revoked 1 key in workspace/ })
  t.match(await json(['keys', 'get', ada.id, ...acme]), { status: 'revoked', owner_id: null, name: 'erased' })
  t.match(await json(['keys', 'get', ben.id, ...acme]), { status: 'active', owner_id: 'ben', name: 'laptop' })
  t.match(await cli(['people', 'erase', 'auth0|ada', ...acme]), { code: 0, stderr: /Revoked 0 keys/ })
  t.match(await cli(['people', 'erase', ...acme]), { code: 2 })
  t.match(await cli(['people', 'erase', '..', ...acme]), { code: 2 })
})

t.test('the policy is shown and replaced, and shortens what exists where that is said', async (t) => {
  const { cli, json, create } = await setup(t)
  const { id } = await create()
  t.strictSame(await json(['policy', 'get', ...acme]), { max_lifetime_days: null, default_lifetime_days: null, unused_days: null })
  t.strictSame(await json(['policy', 'set', ...acme, '--max-lifetime-days', '90', '--unused-days', '30']), { max_lifetime_days: 90, default_lifetime_days: null, unused_days: 30 })
  t.match(await json(['keys', 'get', id, ...acme]), { expires_at: null })
  t.match(await cli(['policy', 'set', ...acme, '--max-lifetime-days', '90', '--apply', 'all']), { code: 0, stdout: /max_lifetime_days +90/, stderr: /Shortened 1 key; in force/ })
  t.match(await json(['keys', 'get', id, ...acme]), { expires_at: /^20/ })
  t.match(await cli(['policy', 'set', ...acme, '--max-lifetime-days', '0']), { code: 2, stderr: /1 to 36500/ })
})

t.test('leaked tokens are taken from a file or from standard input, as tokens or digests', async (t) => {
  const { cli, json, create, file } = await setup(t)
  const [one, two] = [await create(), await create()]
  const stranger = new TokenFormat().mint().token
  t.match(await json(['leaks', '--source', 'scanner'], { input: `${one.token}\n\n${stranger}\r\n` }), [
    { token_sha256: sha256(one.token), result: 'true_positive', revoked: true },
    { token_sha256: sha256(stranger), result: 'false_positive', revoked: false }
  ])
  const answer = await cli(['leaks', file('leaks.txt', sha256(two.token).toUpperCase())])
  t.match(answer, { code: 0, stdout: new RegExp(`${sha256(two.token)} +true_positive +yes`) })
  t.notOk(answer.stdout.includes(two.token))
  t.match(await cli(['leaks'], { input: '\n' }), { code: 2 })
  t.match(await cli(['leaks', '--url', `https://paste.example/?key=${two.token}`], { input: two.token }), { code: 2, stderr: /\/0\/url: Contains a token, and would be stored/ })
  t.match(await cli(['leaks', '/nowhere/at/all']), { code: 2, stderr: /ENOENT/ })
})

t.test('history is shown: the audit trail, calls and the use of a key', async (t) => {
  const { cli, json, create } = await setup(t)
  const { id } = await create()
  await json(['keys', 'revoke', id, ...acme])
  t.match(await json(['audit', ...acme, '--key', id, '--actor', 'cli']), { entries: [{ action: 'key.revoked', key_id: id }, { action: 'key.created' }], next_cursor: null })
  t.match(await cli(['audit', ...acme, '--limit', '1']), { code: 0, stdout: /key\.revoked +cli/, stderr: /--cursor/ })
  t.strictSame((await json(['audit', ...acme, '--from', '2099-01-01'])).entries, [])
  t.strictSame(await json(['calls', ...acme, '--decision', 'denied']), { calls: [], next_cursor: null })
  t.strictSame(await json(['keys', 'usage', id, ...acme]), { days: [], tools: [], last: null })
  const csv = async (...args: string[]) => (await cli([...args, ...acme, '--csv'])).stdout.split('\n')
  t.equal((await csv('keys', 'usage', id))[0], 'day,accepted,revoked,expired,insufficient_scope,address_not_allowed,rate_limited')
  t.equal((await csv('calls'))[0], 'at,key_id,upstream,method,tool,decision,status,ms')
  const [columns, revoked] = await csv('audit', '--key', id)
  t.equal(columns, 'id,at,actor,action,key_id,details')
  t.match(revoked, new RegExp(`^[0-9a-f-]{36},[^,]+Z,cli,key\\.revoked,${id},"\\{.*\\}"$`))
  t.match(await cli(['audit', ...acme, '--csv', '--json']), { code: 2 })
})

t.test('keys are imported from JSON lines and from CSV, and work', async (t) => {
  const { cli, json, file } = await setup(t)
  const tokens = Array.from({ length: 4 }, () => new TokenFormat().mint().token)
  const lines = [
    { token_sha256: sha256(tokens[0]!), name: 'one', scope: 'mcp:write', owner_id: 'ada', hint: 'abcd…wxyz', created_at: '2026-03-01T08:00:00Z', metadata: { team: 'a' } },
    { token: tokens[1], name: 'two', expires_at: '2099-01-01T00:00:00Z' }
  ].map((line) => JSON.stringify(line)).join('\n')
  t.strictSame(await json(['keys', 'import', file('keys.jsonl', `${lines}\n`), ...acme, '--scope', 'mcp:read']), { imported: 2, already_there: 0 })
  t.strictSame(await json(['keys', 'import', '-', ...acme, '--scope', 'mcp:read'], { input: lines }), { imported: 0, already_there: 2 })
  const csv = `\uFEFFtoken_sha256,name,scope,owner_id,metadata\r\n${sha256(tokens[2]!, 'base64')},"three, with ""quotes""",mcp:read,,"{""a"":""b""}"\r\n${sha256(tokens[3]!)},four,mcp:write,ben,\r\n`
  t.match(await cli(['keys', 'import', file('keys.csv', csv), ...acme]), { code: 0, stdout: '', stderr: 'Imported 2 keys into workspace acme; 0 already existed.\n' })
  t.match(await cli(['keys', 'import', file('one.csv', `token_sha256,name,scope\n${sha256('one more')},five,mcp:read\n`), ...acme, '--workspace', 'counted']), { code: 0, stderr: 'Imported 1 key into workspace counted; 0 already existed.\n' })
  for (const [i, expected] of [{ name: 'one', owner_id: 'ada', metadata: { team: 'a' } }, { name: 'two', scope: 'mcp:read' }, { name: 'three, with "quotes"', owner_id: null, metadata: { a: 'b' } }, { name: 'four', owner_id: 'ben' }].entries()) {
    t.match(await json(['verify'], { input: tokens[i] }), { valid: true, key: expected })
  }
})

t.test('an import says which line is wrong, sends nothing of a file with a fault, and shows how far it is', async (t) => {
  const { cli, json, file } = await setup(t)
  const line = (fields: object) => JSON.stringify({ token_sha256: sha256(Math.random().toString()), name: 'n', scope: 'mcp:read', ...fields })
  const wrong = [line({}), '', line({ scope: 'admin' }), line({ token_sha256: 'abc' }), line({ name: undefined }), line({ colour: 'red' }), line({ created_at: 'yesterday' }), line({ metadata: { a: 1 } })].join('\n')
  const refused = await cli(['keys', 'import', file('wrong.jsonl', wrong), ...acme])
  t.equal(refused.code, 2)
  for (const says of [/Nothing was imported/, /line 3: scope/, /line 4: token_sha256/, /line 5: name: Required/, /line 6: colour: Unknown/, /line 7: created_at/, /line 8: metadata/]) t.match(refused.stderr, says)
  t.strictSame((await json(['keys', 'list', ...acme])).keys, [])
  for (const [name, text, says] of [['a.csv', 'name,what\nx,y\n', /first line must name/], ['b.csv', `token_sha256,name\n${sha256('x')}\n`, /Line 2 has 1 field, but the first line has 2/], ['c.csv', 'token_sha256,name\nx,"y', /Line 2 is not valid CSV/], ['d.jsonl', '{"a":1}\n[]\n', /Line 2 is not a JSON object/], ['e.jsonl', '\n', /no key/]] as const) {
    t.match(await cli(['keys', 'import', file(name, text), ...acme]), { code: 2, stderr: says })
  }
  const many = Array.from({ length: 2500 }, () => line({}))
  const taken = line({})
  await json(['keys', 'import', file('taken.jsonl', taken), '--workspace', 'other'])
  many[2100] = taken
  const broken = await cli(['keys', 'import', file('many.jsonl', many.join('\n')), ...acme], { isInteractive: true })
  t.match(broken, { code: 1, stderr: /line 2101: token_sha256: Another workspace already has this token/ })
  t.match(broken.stderr, /2000 keys of earlier lines were imported/)
  t.match(broken.stderr, /\r\[#{12} {18}\] 1000 of 2500\r\[#{24} {6}\] 2000 of 2500/)
  const [twice, badName] = [many.map((one, i) => i === 2400 ? many[2300]! : one), many.map((one, i) => i === 2400 ? line({ name: ' ' }) : one)]
  t.match(await cli(['keys', 'import', file('twice.jsonl', twice.join('\n')), ...acme]), { code: 2, stderr: /Nothing was imported[^]*line 2401: token_sha256: Same token as line 2301\./ })
  t.match(await cli(['keys', 'import', file('name.jsonl', badName.join('\n')), ...acme]), { code: 2, stderr: /Nothing was imported[^]*line 2401: name: / })
  many.splice(2100, 1)
  t.strictSame(await json(['keys', 'import', file('mended.jsonl', many.join('\n')), ...acme]), { imported: 499, already_there: 2000 })
})

t.test('an import checks all rows for what needs no database before it opens the database', async (t) => {
  const env = { DATABASE_URL: 'postgres://someone@127.0.0.1:1/nowhere' }
  const rows = Array.from({ length: 1000 }, (_, i) => `${sha256(`some token ${i}`)},n,mcp:read,,`)
  const last = (row: string) => ['token_sha256,name,scope,expires_at,created_at', ...rows, row].join('\n')
  const cases: ReadonlyArray<readonly [row: string, says: RegExp]> = [
    [`${sha256('x')},n,mcp:read,2001-01-01T00:00:00Z,`, /Nothing was imported\.\n {2}line 1002: expires_at: Must be in the future/],
    [`${sha256('x')},n,mcp:read,,2999-01-01T00:00:00Z`, /Nothing was imported\.\n {2}line 1002: created_at: Must not be in the future/],
    [`${sha256('some token 0', 'base64')},n,mcp:read,,`, /Nothing was imported\.\n {2}line 1002: token_sha256: Same token as line 2\. /],
    [`${sha256('some token 0')}, ,mcp:read,2001-01-01T00:00:00Z,`, /line 1002: name: .*\n {2}line 1002: expires_at: .*\n {2}line 1002: token_sha256: Same token as line 2\./]
  ]
  for (const [row, says] of cases) t.match(await runCli(['keys', 'import', '-', ...acme], env, { input: last(row) }), { code: 2, stdout: '', stderr: says }, row)
})

t.test('an import refuses the text of a token that no request could ever be accepted with, and does not repeat it', async (t) => {
  const { env, file } = await setup(t)
  const accepting = { ...env, TOKEN_PREFIXES_ACCEPTED: 'sk_live_' }
  const load = async (tokens: readonly string[], settings: Readonly<Record<string, string>> = accepting) => await runCli(['keys', 'import', file('keys.csv', ['token,name,scope', ...tokens.map((token) => `${token},n,mcp:read`)].join('\n')), ...acme], settings)
  const own = new TokenFormat().mint().token
  const foreign = `sk_live_${'aB3._~+/-'.repeat(2)}==`
  const changed = own.slice(0, -1) + (own.endsWith('a') ? 'b' : 'a')
  const wrong = ['short', `other_${'x'.repeat(40)}`, changed, own.slice(0, -1), 'sk_live_1234567', `sk_live_${'x'.repeat(505)}`, 'sk_live_12345 6789']
  const refused = await load([own, ...wrong, foreign])
  t.match(refused, { code: 2, stderr: /Nothing was imported/ })
  const says = [/line 3: token: Must begin with nops_ or sk_live_\./, /line 4: token: Must begin/, /line 5: token: .*checksum/, /line 6: token: .*38 letters/, /line 7: token: Must be 16 to 512/, /line 8: token: Must be 16/, /line 9: token: Must be 16/]
  for (const [i, line] of refused.stderr.trim().split('\n').slice(1).entries()) t.match(line, says[i]!)
  for (const token of wrong) t.notOk(refused.stderr.includes(token), token)
  t.match(await load([foreign], env), { code: 2, stderr: /line 2: token: Must begin with nops_\. .*TOKEN_PREFIXES_ACCEPTED/ })
  t.match(await load([own, foreign]), { code: 0, stderr: /Imported 2 keys/ })
  for (const token of [own, foreign]) t.match(await runCli(['verify'], accepting, { input: token }), { code: 0 })
})

t.test('what an import is given twice is refused, as one of both would be dropped', async (t) => {
  const env = { DATABASE_URL: 'postgres://someone@127.0.0.1:1/nowhere' }
  const row = `"token_sha256":"${sha256('x')}","scope":"mcp:read"`
  const cases: ReadonlyArray<readonly [input: string, says: RegExp]> = [
    [`{${row},"name":"a"}\n{${row},"name":"a","name":"b"}`, /Line 2 has a field twice/],
    [`{${row},"name":"a","n\\u0061me":"b"}`, /Line 1 has a field twice/],
    [`{${row},"name":"a","metadata":{"a":"1","a":"2"}}`, /Line 1 has a field twice/],
    [`{${row}${',"name":"a"'.repeat(400)}}`, /Line 1 has a field twice/],
    [`token_sha256,name,scope,name\n${sha256('x')},a,mcp:read,b`, /The first line names the column name twice/],
    [`token_sha256,name,scope,metadata\n${sha256('x')},a,mcp:read,"{""a"":""1"",""a"":""2""}"`, /Line 2 has a field of metadata twice/]
  ]
  for (const [input, says] of cases) t.match(await runCli(['keys', 'import', '-', ...acme], env, { input }), { code: 2, stdout: '', stderr: says }, input.slice(0, 200))
})

t.test('a wrong call ends with 2 and one sentence, also as JSON', async (t) => {
  const env = { DATABASE_URL: 'postgres://someone@127.0.0.1:1/nowhere' }
  for (const args of [[], ['keys'], ['keys', 'edit', 'x', ...acme], ['keys', 'get'], ['keys', 'rotate', 'x', ...acme, '--grace-seconds', '-1'], ['keys', 'edit', 'x', ...acme, '--rate-limit', '5'], ['policy'], ['completion', 'tcsh'], ['verify', '--scope', 'all'], ['verify', '--address', 'localhost'], ['audit', ...acme, '--from', 'x'], ['nonsense']]) {
    t.equal((await runCli(args, env)).code, 2, args.join(' '))
  }
  t.match(await runCli(['verify', '--json'], env), { code: 2, stdout: '', stderr: /^\{"type":"about:blank","title":"Usage","code":"invalid_request"/ })
})

t.test('bash completes commands, and options after the arguments of a command', async (t) => {
  const { stdout } = await runCliProcess(['completion', 'bash'], {})
  const complete = (line: string) => execFileSync('bash', ['-c', `${stdout}\nCOMP_WORDS=(${line} "${line.endsWith(' ') ? '' : ''}")\nCOMP_CWORD=$((\${#COMP_WORDS[@]} - 1))\n_navis_keys\necho "\${COMPREPLY[@]}"`], { encoding: 'utf8' }).trim().split(' ')
  const among = (line: string, ...wanted: string[]) => { for (const word of wanted) t.ok(complete(line).includes(word), `${line}: ${word}`) }
  among('navis-keys', 'keys', 'policy', 'audit', 'verify', 'completion')
  among('navis-keys keys', 'create', 'rotate', 'revoke-all', 'import')
  among('navis-keys keys rotate some-id --workspace acme', '--grace-seconds', '--json')
  among('navis-keys policy set', '--max-lifetime-days')
  t.notOk(complete('navis-keys keys').includes('audit'))
})

const without = (shell: string): string | false => spawnSync(shell, ['-c', 'true']).status !== 0 && `${shell} is not installed`

t.test('zsh completes commands and options', { skip: without('zsh') }, async (t) => {
  const { stdout } = await runCliProcess(['completion', 'zsh'], {})
  // The function as zsh would call it, with what it would show printed.
  const complete = (...words: string[]) => execFileSync('zsh', ['-fc', `compdef () {}; _describe () { print -l -- \${(P)2} }\n${stdout}\nwords=(navis-keys ${words.join(' ')} ''); CURRENT=\${#words}; _navis_keys`], { encoding: 'utf8' }).split('\n').map((line) => line.split(':')[0])
  t.ok(['keys', 'people', 'policy', 'audit'].every((word) => complete().includes(word)))
  t.ok(['create', 'revoke-all'].every((word) => complete('keys').includes(word)))
  t.ok(complete('keys', 'rotate', 'some-id', '--workspace', 'acme').includes('--grace-seconds'))
  t.notOk(complete('keys').includes('audit'))
})

t.test('fish completes commands and options', { skip: without('fish') }, async (t) => {
  const { stdout } = await runCliProcess(['completion', 'fish'], {})
  const complete = (line: string) => execFileSync('fish', ['--no-config', '-c', `${stdout}\ncomplete -C '${line}'`], { encoding: 'utf8' }).split('\n').map((one) => one.split('\t')[0])
  t.ok(['keys', 'people', 'policy', 'audit'].every((word) => complete('navis-keys ').includes(word)))
  t.same(complete('navis-keys keys rev'), ['revoke', 'revoke-all', ''])
  t.same(complete('navis-keys keys rotate some-id --grace-se'), ['--grace-seconds', ''])
  t.notOk(complete('navis-keys keys ').includes('audit'))
})

t.test('the scripts of zsh and fish name every command and option', async (t) => {
  const [zsh, fish] = await Promise.all(['zsh', 'fish'].map(async (shell) => (await runCli(['completion', shell], {})).stdout))
  for (const words of ['keys', 'rotate', 'revoke-all', 'grace-seconds', 'max-lifetime-days', 'completion']) {
    t.match(zsh, words)
    t.match(fish, words)
  }
  t.match(zsh, /^#compdef navis-keys\n/)
  t.match(fish, /complete -c navis-keys -n '__fish_seen_subcommand_from keys; and __fish_seen_subcommand_from rotate' -l grace-seconds/)
})

t.test('who reads its output may close the pipe before the end', async (t) => {
  t.strictSame(await runCliProcess(['--help'], {}, { closesOutput: true }), { code: 1, stdout: '', stderr: '' })
})

t.test('output that cannot be written is told in a sentence, with what is lost with it', { skip: !existsSync('/dev/full') && 'there is no /dev/full' }, async (t) => {
  const { env, json, create } = await setup(t)
  const full = async (...args: string[]) => await runCliProcess([...args, ...acme], env, { output: '/dev/full' })
  t.strictSame(await runCliProcess(['--help'], {}, { output: '/dev/full' }), { code: 1, stdout: '', stderr: 'navis-keys: The output cannot be written (ENOSPC).\n' })
  const made = await full('keys', 'create', '--name', 'laptop', '--scope', 'mcp:read')
  const { keys: [{ id }] } = await json(['keys', 'list', ...acme])
  const lost = `navis-keys: The output cannot be written (ENOSPC). The key ${id} was created, and its token is lost: rotate or revoke the key.\n`
  t.equal(made.code, 1)
  t.ok(made.stderr.endsWith(`This token is shown only once:\n${lost}`), made.stderr)
  const rotated = await full('keys', 'rotate', id, '--json')
  t.equal(rotated.code, 1)
  t.match(JSON.parse(rotated.stderr), { code: 'internal', detail: `The output cannot be written (ENOSPC). The key ${id} was rotated, and its new token is lost: rotate it again or revoke it.` })
  t.strictSame(await full('keys', 'list'), { code: 1, stdout: '', stderr: 'navis-keys: The output cannot be written (ENOSPC).\n' })
  const other = await create()
  t.match(await runCliProcess(['keys', 'rotate', other.id, ...acme], env, { closesOutput: true }), { code: 1, stderr: new RegExp(`\\(EPIPE\\)\\. The key ${other.id} was rotated, and its new token is lost`) })
})
