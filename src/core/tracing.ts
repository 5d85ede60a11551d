import type { Entry, Lookup } from './lookup.ts'
import type { Force } from './window/trust.ts'

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

/** Records requests to stores and upstreams as spans. */
export interface Tracing {
  /** Runs `work` within a span that ends with it, and with its error if it rejects. No attribute may hold a token or a digest. */
  span<T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T>
  /** The headers that carry the current span to another service: `traceparent` (W3C Trace Context, section 3.2) and `tracestate`. */
  headers (): Readonly<Record<string, string>>
}

/** The tier with a span around each lookup; the tier itself without tracing. */
export function tracedLookup<L extends Lookup> (lookup: L, system: 'redis' | 'postgresql', tracing: Tracing | undefined): Lookup {
  if (tracing === undefined) return lookup
  const span = (name: string, read: () => Promise<Entry | undefined>) => tracing.span(name, { 'db.system.name': system }, read)
  return {
    find: (digest) => span(`${system} find key`, () => lookup.find(digest)),
    findFresh: (digest) => span(`${system} find key anew`, () => lookup.findFresh(digest))
  }
}

/** Puts a span around each wait for a change to be in force, with its outcome. */
export function tracedForce (force: Force, tracing: Tracing | undefined): Force {
  if (tracing === undefined) return force
  return {
    inForce: (change) => tracing.span('wait until in force', { 'navis_keys.action': change.action, 'navis_keys.target': change.target.kind }, () => force.inForce(change)),
    announce: (change) => { force.announce(change) }
  }
}

/** The object with a span around each of these methods; the object itself without tracing. */
export function tracedMethods<T extends object> (object: T, names: ReadonlyArray<keyof T & string>, system: string, tracing: Tracing | undefined): T {
  if (tracing === undefined) return object
  return new Proxy(object, {
    get (target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const method = value.bind(target) as (...args: unknown[]) => Promise<unknown>
      if (!(names as readonly unknown[]).includes(name)) return method
      return (...args: unknown[]) => tracing.span(`${system} ${String(name)}`, { 'db.system.name': system }, () => method(...args))
    }
  })
}
