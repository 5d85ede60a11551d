import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RE2 } from 're2-wasm'
import t from 'tap'
import { parse as parseYaml } from 'yaml'
import { TokenFormat } from '../../src/core/token.ts'

const page = readFileSync(new URL('../../docs/secret-scanning.md', import.meta.url), 'utf8')
const block = (language: string) => new RegExp('```' + language + '\\n([\\s\\S]*?)```').exec(page)?.[1] ?? ''

/** Each scanner's expression as the page has it, and which group is the token. GitHub joins the three fields of a custom pattern. */
function expressions (): Record<string, string> {
  const gitleaks = /regex = '''(.*)'''/.exec(block('toml'))?.[1] ?? ''
  const trufflehog = (parseYaml(block('yaml')) as { detectors: [{ regex: { token: string } }] }).detectors[0].regex.token
  const cell = (name: string) => new RegExp(`\\| ${name} \\| \`(.*?)\` \\|`).exec(page)![1]!.replaceAll('\\|', '|')
  return { gitleaks, trufflehog, github: `(?:${cell('Before secret')})(${cell('Secret format')})(?:${cell('After secret')})` }
}

/** What an expression finds in a text. By RE2, which is the engine of gitleaks and TruffleHog (as Go has it), and refuses what that does not have. */
function found (expression: string, text: string): string[] {
  const re2 = new RE2(expression, 'gu')
  const secrets: string[] = []
  for (let match = re2.exec(text); match !== null; match = re2.exec(text)) secrets.push(match[1]!)
  return secrets
}

const { token } = new TokenFormat().mint()
const { token: second } = new TokenFormat().mint()
const other = new TokenFormat('acme_').mint().token

/** Files as they lie in repositories, and the tokens that are in them. */
const files: ReadonlyArray<{ readonly name: string, readonly text: string, readonly finds: readonly string[] }> = [
  { name: '.env', text: `PORT=8080\nNAVIS_KEY=${token}\n`, finds: [token] },
  { name: 'mcp.json', text: JSON.stringify({ mcpServers: { notes: { headers: { Authorization: `Bearer ${token}` } } } }, null, 2), finds: [token] },
  { name: 'config.yaml', text: `key: '${token}'\nother: ${second}`, finds: [token, second] },
  { name: 'deploy.sh', text: `curl -H "Authorization: Bearer ${token}" https://x\nexport K=${second};\n`, finds: [token, second] },
  { name: 'url.txt', text: `https://example.com/?token=${token}&x=1`, finds: [token] },
  { name: 'alone.txt', text: token, finds: [token] },
  { name: 'README.md', text: `Send \`Authorization: Bearer ${token}\`, then (${second}).`, finds: [token, second] },
  // Near misses: what has another length, another alphabet, or is a part of something longer.
  { name: 'short.txt', text: token.slice(0, -1), finds: [] },
  { name: 'long.txt', text: `${token}x ${token}_x`, finds: [] },
  { name: 'prefix.txt', text: `x${token} X_${token} nops_`, finds: [] },
  { name: 'placeholder.md', text: 'nops_xxxxxxxx nops_… $NAVIS_KEY nops_<your key> nops_your-token-goes-here-and-is-long-enough-really', finds: [] },
  { name: 'hint.txt', text: `nops_${token.slice(5, 9)}…${token.slice(-4)}`, finds: [] },
  { name: 'capital.txt', text: token.toUpperCase(), finds: [] },
  // Other systems' tokens.
  { name: 'others.txt', text: ['ghp_' + 'a1'.repeat(18), 'sk_live_' + 'B2'.repeat(12), 'npm_' + 'c3'.repeat(18), 'xoxb-' + '1'.repeat(12), 'AKIA' + 'Q'.repeat(16), 'eyJhbGciOiJIUzI1NiJ9.e30.abc', other].join('\n'), finds: [] }
]

t.test('the expressions of the page find tokens in files, and neither near misses nor the tokens of other systems', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'navis-scan-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  for (const { name, text } of files) writeFileSync(join(folder, name), text)
  const expected = Object.fromEntries(files.map(({ name, finds }) => [name, finds]))
  const scanners = Object.entries(expressions())
  t.strictSame(scanners.map(([name]) => name), ['gitleaks', 'trufflehog', 'github'])
  for (const [scanner, expression] of scanners) {
    const secrets = Object.fromEntries(readdirSync(folder).map((name) => [name, found(expression, readFileSync(join(folder, name), 'utf8'))]))
    t.same(secrets, expected, scanner)
  }
})

t.test('the expressions are searched as the scanners search: by an engine that refuses what they would refuse', async (t) => {
  for (const foreign of ['nops_(?=x)', '(nops_)\\1', '(?<!x)nops_']) t.throws(() => found(foreign, token), foreign)
})

t.test('the rule of gitleaks names the group of its expression and a keyword that every token has', async (t) => {
  t.match(block('toml'), /secretGroup = 1\nkeywords = \["nops_"\]/)
  t.ok(token.includes('nops_'))
})
