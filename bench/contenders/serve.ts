import { createServer } from 'node:http'
import type { FastifyInstance } from 'fastify'

/** The route that every contender protects: what it costs beyond authentication is the same for all of them. */
export const answer = { hello: 'world' }

/** Listens where the bench asks it to. */
export async function serve (app: FastifyInstance): Promise<void> {
  await app.listen({ host: setting('HOST'), port: Number(setting('PORT')) })
}

/** Answers `/costs` with what `costs` resolves to, where the bench asks it to. */
export function serveCosts (costs: () => Promise<object>): void {
  createServer((request, response) => {
    if (request.url !== '/costs') return response.end()
    costs().then((found) => response.end(JSON.stringify(found)), (error: unknown) => response.writeHead(500).end(String(error)))
  }).listen(Number(setting('PORT')), setting('HOST'))
}

export function setting (name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set.`)
  return value
}
