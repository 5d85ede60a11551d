import swagger from '@fastify/swagger'
import fp from 'fastify-plugin'
import { Type } from 'typebox'
import { problemType } from '../http/problem-document.ts'
import { problemSchema } from '../http/problem-schema.ts'
import { complete } from '../reference/complete.ts'

interface Answer {
  readonly description: string
  readonly content: Readonly<Record<string, { readonly schema: object }>>
}

/** The error answers of a route, for its `response` schema. `reference/problems.ts` says what they mean. */
export function problemAnswers (...statuses: number[]): Record<number, Answer> {
  return Object.fromEntries(statuses.map((status) => [status, {
    description: 'A problem.',
    content: { [problemType]: { schema: Type.Ref('Problem') } }
  }]))
}

/** The description of every route that comes after it. */
export const openapi = fp(async (app) => {
  app.addSchema(problemSchema)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Navis Keys',
        version: '1',
        description: 'API keys for MCP clients, scripts and internal services: cached verification with immediate revocation.',
        license: { name: 'MIT', identifier: 'MIT' }
      },
      servers: [{ url: '/', description: 'The service that serves this description.' }],
      components: {
        securitySchemes: {
          management: { type: 'http', scheme: 'bearer', description: 'A management token: may manage keys, verify and introspect.' },
          service: { type: 'http', scheme: 'bearer', description: 'A service token: may verify and introspect.' },
          client: { type: 'http', scheme: 'basic', description: 'An OAuth client (`client_secret_basic`): the name of a service or management token, and that token, each form-encoded. `client_secret_post` has them in the body.' },
          github: { type: 'apiKey', in: 'header', name: 'Github-Public-Key-Signature', description: 'GitHub’s signature over the body, by the key that Github-Public-Key-Identifier names.' },
          key: { type: 'http', scheme: 'bearer', description: 'A key of a client.' }
        }
      }
    },
    refResolver: { buildLocalReference: (schema, _base, _fragment, i) => String(schema['$id'] ?? `def-${i}`) },
    // `complete` adds everything that the framework does not know or OpenAPI cannot express.
    transformObject: (document) => 'openapiObject' in document ? complete(document.openapiObject as object) as object : document.swaggerObject
  })
}, { name: 'openapi', fastify: '5.x' })
