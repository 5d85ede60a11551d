import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from 'typebox'
import { policyDaysMax } from '../core/policies.ts'
import type { Policy } from '../core/policy.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { nullableInteger, workspaceParams } from '../http/wire.ts'

const tags = ['policy']
const security = [{ management: [] }]
const strict = { additionalProperties: false }

const days = (description: string) => Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: policyDaysMax }), Type.Null()], { description: `${description} Null or omitted: no rule.` }))

const policySchema = Type.Object({
  max_lifetime_days: nullableInteger('null: the workspace has no such rule.'),
  default_lifetime_days: nullableInteger('null: the workspace has no such rule.'),
  unused_days: nullableInteger('null: the workspace has no such rule.')
}, { title: 'Policy', description: 'The policy of the workspace. If the settings of the service have a rule too, the stricter rule applies.' })

/** The policy of a workspace for the lifetime of its keys. Needs a management token. */
export const policyRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { policies } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/v1/workspaces/:workspace_id/policy', {
    schema: {
      tags,
      security,
      operationId: 'getPolicy',
      summary: 'Show the policy of a workspace: how long its keys may live',
      params: workspaceParams,
      querystring: Type.Object({}, strict),
      response: { 200: policySchema, ...problemAnswers(400, 401, 403, 503) }
    }
  }, async function getPolicy (request) {
    return toWirePolicy(await policies.get(request.params.workspace_id))
  })

  app.put('/v1/workspaces/:workspace_id/policy', {
    schema: {
      tags,
      security,
      operationId: 'setPolicy',
      summary: 'Replace the policy of a workspace; keys that it shortens are shortened on every replica when this returns',
      params: workspaceParams,
      querystring: Type.Object({}, strict),
      body: Type.Object({
        max_lifetime_days: days('Maximum lifetime of a key, from the creation of its newest token.'),
        default_lifetime_days: days('Lifetime of a key that is created without an expiry.'),
        unused_days: days('A key that is not used for this long is revoked, 7 days after an event has announced it.'),
        apply: Type.Optional(Type.Enum(['new', 'all'], { default: 'new', description: '`all`: also shorten the existing keys that have not ended. A key that is older than the maximum expires at the moment of the call.' }))
      }, strict),
      response: { 200: policySchema, ...problemAnswers(400, 401, 403, 413, 415, 503) }
    }
  }, async function setPolicy (request) {
    const { max_lifetime_days: maxLifetimeDays = null, default_lifetime_days: defaultLifetimeDays = null, unused_days: unusedDays = null, apply = 'new' } = request.body
    const { policy } = await policies.set({
      workspaceId: request.params.workspace_id,
      actor: request.actor,
      policy: { maxLifetimeDays, defaultLifetimeDays, unusedDays },
      apply
    })
    return toWirePolicy(policy)
  })
}

function toWirePolicy ({ maxLifetimeDays, defaultLifetimeDays, unusedDays }: Policy): Static<typeof policySchema> {
  return { max_lifetime_days: maxLifetimeDays, default_lifetime_days: defaultLifetimeDays, unused_days: unusedDays }
}
