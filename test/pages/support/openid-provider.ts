import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider from 'oidc-provider'
import type { Teardowns } from '../../support/servers.ts'

export const clientId = 'navis'
export const clientSecret = 'a-secret-between-the-service-and-its-provider'

interface Account {
  readonly name: string
  readonly workspace_id?: string
  readonly roles?: readonly string[]
}

const accounts: Readonly<Record<string, Account>> = {
  ada: { name: 'Ada Lovelace', workspace_id: 'acme-research' },
  grace: { name: 'Grace Hopper', workspace_id: 'acme-research' },
  joan: { name: 'Joan Clarke', workspace_id: 'acme-research', roles: ['editor', 'keys-admin'] },
  alan: { name: 'Alan Turing', workspace_id: 'bletchley' },
  'auth0|kurt': { name: 'Kurt Gödel', workspace_id: 'acme-research' },
  nobody: { name: 'Nobody' }
}

/** A real provider with its own login pages. Call `serve` when the URL of the service is known. */
export async function startOpenIdProvider (t: Teardowns): Promise<{ issuer: string, serve (serviceUrl: string): void }> {
  let answer: ReturnType<Provider['callback']> | undefined
  const server = createServer((request, response) => { answer?.(request, response).catch(() => { response.destroy() }) })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { issuer, serve: (serviceUrl) => { answer = providerFor(issuer, serviceUrl).callback() } }
}

function providerFor (issuer: string, serviceUrl: string): Provider {
  const warn = console.warn
  // The provider warns that its pages and keys are only for tests, which is what they are used for.
  console.warn = () => {}
  try {
    return new Provider(issuer, {
      clients: [{
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [`${serviceUrl}/settings/sign-in/callback`],
        post_logout_redirect_uris: [`${serviceUrl}/settings/signed-out`]
      }],
      pkce: { required: () => true },
      claims: { openid: ['sub'], profile: ['name'], navis: ['workspace_id', 'roles'] },
      scopes: ['openid', 'profile', 'navis'],
      findAccount: async (_context, sub) => accounts[sub] === undefined
        ? undefined
        : { accountId: sub, claims: async () => ({ sub, ...accounts[sub] }) as { sub: string } },
      cookies: { keys: ['for a test only'] },
      ttl: { Session: 600, Interaction: 600, Grant: 600, AccessToken: 600, IdToken: 600 }
    })
  } finally {
    console.warn = warn
  }
}
