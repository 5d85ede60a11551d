import type { Description, Operation, Parameter, Schema } from './description.ts'
import { eventTexts, operations } from './texts.ts'

const event = '#/components/schemas/Event'

const parameters: readonly Parameter[] = [
  { name: 'webhook-id', in: 'header', required: true, description: 'The id of the event; the same in each attempt.', schema: { type: 'string' } },
  { name: 'webhook-timestamp', in: 'header', required: true, description: 'When this attempt was made, in seconds since the epoch.', schema: { type: 'integer' } },
  { name: 'webhook-signature', in: 'header', required: true, description: 'For each secret: `v1,` and the base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`. Separated by spaces.', schema: { type: 'string' } }
]

/** The requests to the URLs of `WEBHOOK_URLS`: one operation for each type of event. */
export function webhooksOf ({ components }: Description): Record<string, Record<string, Operation>> {
  const types = (components?.schemas?.['Event']?.properties?.['type']?.enum ?? []) as readonly string[]
  return Object.fromEntries(types.map((type) => [type, { post: webhook(type) }]))
}

function webhook (type: string): Operation {
  const [shown] = (operations['listEvents']!.answer as { events: Array<Record<string, unknown>> }).events
  const body: Schema = { allOf: [{ $ref: event }, { type: 'object', properties: { type: { const: type } } }] }
  return {
    operationId: `on${type.replace(/(?:^|[._])([a-z])/g, (_, letter: string) => letter.toUpperCase())}`,
    tags: ['webhooks'],
    summary: eventTexts[type] ?? type,
    description: 'Sent by the service at least once, and in order for each key. Without a 2xx answer within 15 seconds the service sends the event again, for up to 3 days. Verify the signature with a library for Standard Webhooks.',
    security: [],
    parameters: [...parameters],
    requestBody: { required: true, content: { 'application/json': { schema: body, example: { ...shown, type, ...type === 'key.expiring' ? { data: { ...shown!['data'] as object, days: 7 } } : {} } } } },
    responses: {
      204: { description: 'Any 2xx confirms the event.' },
      '4XX': { description: 'Not confirmed: the event is sent again later.' }
    }
  }
}
