// Run by `helm test`: makes a key, verifies it, revokes it, and sees it refused.
import { readFileSync } from 'node:fs'

const { SERVICE_URL, METRICS_URL, MANAGEMENT_TOKENS_FILE, WORKSPACE } = process.env
const [, secret] = /^[^=]+=([^,\r\n]+)/.exec(readFileSync(MANAGEMENT_TOKENS_FILE, 'utf8').trim()) ?? []

async function ask (what, url, wanted, { method = 'GET', body } = {}) {
  const answer = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${secret}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000)
  })
  const text = await answer.text()
  if (answer.status !== wanted) throw new Error(`${what}: status ${answer.status}, not ${wanted}`)
  console.log(`${what}: ${answer.status}`)
  return text === '' ? undefined : JSON.parse(text)
}

const keys = `${SERVICE_URL}/v1/workspaces/${encodeURIComponent(WORKSPACE)}/keys`
const verdict = async (token) => await ask('verify', `${SERVICE_URL}/v1/verify`, 200, { method: 'POST', body: { token } })

await ask('ready', `${METRICS_URL}/readyz`, 200)
const made = await ask('make', keys, 201, { method: 'POST', body: { name: 'helm test', scope: 'mcp:read', expires_at: new Date(Date.now() + 3_600_000).toISOString() } })
if ((await verdict(made.token)).valid !== true) throw new Error('The new key is not valid.')
await ask('revoke', `${keys}/${made.id}`, 204, { method: 'DELETE' })
if ((await verdict(made.token)).reason !== 'revoked') throw new Error('The revoked key is not refused as revoked.')
console.log('The service makes, verifies and revokes keys.')
