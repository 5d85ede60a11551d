import { createServer } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { keepShapes } from '../../src/engine/kept-shapes.ts'

/** The route that every contender protects: what it costs beyond authentication is the same for all of them. */
export const answer = { hello: 'world' }

interface ServeOptions {
  /** Whether the process may become slower for good when it idles, as any that does nothing about it (decision 0346). */
  readonly forgets?: boolean
}

/** Listens where the bench asks it to. */
export async function serve (app: FastifyInstance, { forgets = false }: ServeOptions = {}): Promise<void> {
  if (!forgets) keepShapes()
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
