import t from 'tap'
import { ConfigError, readConfig, type Environment } from '../../src/config/config.ts'

const secret = 'k'.repeat(32)
const database = { DATABASE_URL: 'postgres://user@localhost/keys', MANAGEMENT_TOKENS: `a=${secret}` }
const provider = { OIDC_ISSUER: 'https://id.example.com', OIDC_CLIENT_ID: 'navis', PUBLIC_URL: 'https://keys.example.com' }

const ways: ReadonlyArray<{ when: string, env: Environment, way: string }> = [
  { when: 'nothing is set', env: {}, way: 'management-token' },
  { when: 'there is a database of one\'s own', env: database, way: 'off' },
  { when: 'there is a database of one\'s own, named by its parts', env: { DATABASE_HOST: 'db.example.com', MANAGEMENT_TOKENS: `a=${secret}` }, way: 'off' },
  { when: 'there is a provider', env: { ...database, ...provider }, way: 'provider' },
  { when: 'there is a provider in embedded mode', env: provider, way: 'provider' },
  { when: 'provider and service are on this machine', env: { OIDC_ISSUER: 'http://127.0.0.1:3000', OIDC_CLIENT_ID: 'navis', PUBLIC_URL: 'http://localhost:8080' }, way: 'provider' }
]

t.test('how people sign in follows from the settings', async (t) => {
  for (const { when, env, way } of ways) t.match(readConfig(env).pages.signIn, { way }, when)
})

const refused: ReadonlyArray<{ when: string, env: Environment, says: RegExp }> = [
  { when: 'pages over plain http on a network', env: { PUBLIC_URL: 'http://keys.example.com' }, says: /^PUBLIC_URL must be an origin/ },
  { when: 'a public URL with a path', env: { PUBLIC_URL: 'https://keys.example.com/keys' }, says: /^PUBLIC_URL must be an origin/ },
  { when: 'a public URL with a password', env: { PUBLIC_URL: 'https://hush:hush@keys.example.com' }, says: /^PUBLIC_URL must be an origin/ },
  { when: 'a provider over plain http on a network', env: { ...provider, OIDC_ISSUER: 'http://hush.example.com' }, says: /^OIDC_ISSUER must be the issuer URL/ },
  { when: 'a provider that looks local', env: { ...provider, OIDC_ISSUER: 'http://127.0.0.1.example.com' }, says: /^OIDC_ISSUER must be/ },
  { when: 'no client id', env: { ...provider, OIDC_CLIENT_ID: '' }, says: /^OIDC_CLIENT_ID is needed with OIDC_ISSUER/ },
  { when: 'no public URL', env: { ...provider, PUBLIC_URL: '' }, says: /^PUBLIC_URL is needed with OIDC_ISSUER/ },
  { when: 'a client without a provider', env: { OIDC_CLIENT_ID: 'navis' }, says: /^OIDC_ISSUER is needed with OIDC_CLIENT_ID/ },
  { when: 'a scope without openid', env: { ...provider, OIDC_SCOPE: 'profile openids' }, says: /^OIDC_SCOPE must be scopes .* with openid among them/ },
  ...['*', 'https://app.example.com/settings', 'http://app.example.com', 'https://a.example; script-src *', 'app.example.com'].map((origin) => ({ when: `a frame of ${origin}`, env: { PAGES_FRAME_ORIGINS: origin }, says: /^PAGES_FRAME_ORIGINS must be origins/ })),
  { when: 'a brand without a picture', env: { BRAND_LOGO_FILE: '/etc/passwd' }, says: /^BRAND_LOGO_FILE must be/ },
  { when: 'an MCP server that is no URL', env: { MCP_URL: 'https://' }, says: /^MCP_URL must be/ }
]

t.test('settings that people could not safely sign in with are refused at the start, by name and not by value', async (t) => {
  for (const { when, env, says } of refused) {
    try {
      readConfig(env)
      t.fail(when)
    } catch (error) {
      t.match((error as ConfigError).faults, [says], when)
      t.notMatch((error as ConfigError).message, 'hush', when)
    }
  }
})
