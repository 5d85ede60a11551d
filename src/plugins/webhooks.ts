import fp from 'fastify-plugin'
import { systemClock } from '../core/clock.ts'
import { Webhooks } from '../core/webhooks.ts'
import { CollectedMetrics, one, samplesBy } from '../http/metrics-registry.ts'
import { WebhookReceiver } from '../http/webhook-receiver.ts'

export interface WebhooksOptions {
  readonly urls: readonly string[]
  readonly secrets: readonly string[]
  readonly allowedCidrs: readonly string[]
}

const byOutcome = samplesBy('outcome')

/** Sends events to the URLs of the settings, and counts deliveries. */
export const webhooks = fp<WebhooksOptions>(async (app, { urls, secrets, allowedCidrs }) => {
  const { apiKeys: keys, metricsRegistry } = app
  const receivers = urls.map((url) => new WebhookReceiver({ url, secrets, allowedCidrs }))
  const deliveries = new Webhooks({ store: keys.webhooks, receivers, clock: systemClock, log: app.log, isStarted: () => keys.isStarted })
  metricsRegistry.register(new CollectedMetrics({
    read: () => deliveries.stats(),
    metrics: [
      {
        name: 'navis_keys_webhook_deliveries_total',
        help: 'Events sent to receivers: delivered, failed and sent again, or given up after three days.',
        samples: ({ delivered, failed, givenUp }) => byOutcome({ delivered, failed, given_up: givenUp })
      },
      { name: 'navis_keys_webhook_oldest_seconds', help: 'Age of the oldest event that a receiver has not confirmed; 0: there is none.', samples: ({ oldestS }) => one(oldestS) }
    ]
  }))
  app.addHook('onReady', async () => { deliveries.start() })
  app.addHook('preClose', async () => {
    await deliveries.close()
    for (const receiver of receivers) receiver.close()
  })
}, { name: 'webhooks', dependencies: ['api-keys', 'metrics'], fastify: '5.x' })
