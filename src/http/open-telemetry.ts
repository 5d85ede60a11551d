import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api'
import { NodeSDK } from '@opentelemetry/sdk-node'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Tracing } from '../core/tracing.ts'

/** Traces of the service, exported as the standard variables say (OpenTelemetry Specification, SDK environment variables). */
export interface Telemetry {
  readonly tracing: Tracing
  /** A span for each request, in the trace that its `traceparent` names. */
  readonly requestSpans: FastifyPluginAsync
  /** Exports what has not been exported yet. */
  close (): Promise<void>
}

// An unavailable collector must not delay the end of the process.
const closeTimeoutMs = 1000

/** Starts it; only where `OTEL_…` variables ask for it, since loading it alone takes a while. */
export function openTelemetry (version: string): Telemetry {
  const sdk = new NodeSDK({ serviceName: process.env['OTEL_SERVICE_NAME'] ?? 'navis-keys', metricReaders: [], logRecordProcessors: [], instrumentations: [] })
  sdk.start()
  const tracer = trace.getTracer('navis-keys', version)
  return {
    tracing: {
      async span (name, attributes, work) {
        return await tracer.startActiveSpan(name, { kind: SpanKind.CLIENT, attributes }, async (span) => {
          try {
            return await work()
          } catch (error) {
            failed(span, error)
            throw error
          } finally {
            span.end()
          }
        })
      },
      headers () {
        const headers: Record<string, string> = {}
        propagation.inject(context.active(), headers)
        return headers
      }
    },
    requestSpans: requestSpans(),
    async close () {
      await Promise.race([sdk.shutdown().catch(() => {}), new Promise((resolve) => { setTimeout(resolve, closeTimeoutMs).unref() })])
    }
  }

  function requestSpans () {
    return fp(async (app) => {
      const spans = new WeakMap<FastifyRequest, Span>()
      const probes = new Set<string>()
      app.addHook('onRoute', ({ url, config }) => { if (config?.isProbe === true) probes.add(url) })
      app.addHook('onRequest', (request, _reply, done) => {
        const route = request.routeOptions.url
        if (route !== undefined && probes.has(route)) return done()
        const parent = propagation.extract(ROOT_CONTEXT, request.headers)
        // Never the path of the request: it can contain any text.
        const span = tracer.startSpan(`${request.method} ${route ?? 'unknown'}`, {
          kind: SpanKind.SERVER,
          attributes: { 'http.request.method': request.method, ...route !== undefined && { 'http.route': route }, 'navis_keys.request_id': request.id }
        }, parent)
        spans.set(request, span)
        context.with(trace.setSpan(parent, span), done)
      })
      app.onRequestEnd(({ request, status }) => {
        const span = spans.get(request)
        if (span === undefined) return
        if (status !== undefined) span.setAttribute('http.response.status_code', status)
        if (status !== undefined && status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
        span.end()
      })
    }, { name: 'request-spans', dependencies: ['request-end'], fastify: '5.x' })
  }
}

// Only its code: the message of a driver's error can contain the parameters of a statement.
function failed (span: Span, error: unknown): void {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
  span.setStatus({ code: SpanStatusCode.ERROR })
  span.setAttribute('error.type', code ?? (error instanceof Error ? error.name : 'unknown'))
}
