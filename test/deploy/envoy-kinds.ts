/*
 * The fields of Envoy's objects that our examples use, with their types and values as the schemas of Envoy Gateway (v1alpha1) and Envoy AI Gateway (v1beta1)
 * of 2026-08-21 have them: no package has these kinds. A further field is added here when it has been looked up there.
 */

interface Metadata {
  readonly name: string
  readonly namespace: string
}

interface Target<Kind extends string> {
  readonly group: 'gateway.networking.k8s.io'
  readonly kind: Kind
  readonly name: string
}

interface Backend {
  readonly group?: ''
  readonly kind?: 'Service'
  readonly name: string
  readonly namespace?: string
  readonly port?: number
}

interface ExtAuth {
  readonly failOpen?: boolean
  /** 400 to 511, but 200, 3xx and a few that have no name. */
  readonly statusOnError?: 401 | 403 | 429 | 500 | 502 | 503 | 504
  readonly timeout?: `${number}${'h' | 'm' | 's' | 'ms'}`
  readonly headersToExtAuth?: readonly string[]
  /** `path` and `pathOverride` exclude each other. */
  readonly http: {
    readonly pathOverride?: string
    readonly backendRefs: readonly Backend[]
    readonly headersToBackend?: readonly string[]
  }
}

export interface ISecurityPolicy {
  readonly apiVersion: 'gateway.envoyproxy.io/v1alpha1'
  readonly kind: 'SecurityPolicy'
  readonly metadata: Metadata
  readonly spec: {
    readonly targetRefs: ReadonlyArray<Target<'Gateway' | 'HTTPRoute' | 'GRPCRoute'>>
    readonly extAuth?: ExtAuth
  }
}

export interface IClientTrafficPolicy {
  readonly apiVersion: 'gateway.envoyproxy.io/v1alpha1'
  readonly kind: 'ClientTrafficPolicy'
  readonly metadata: Metadata
  readonly spec: {
    readonly targetRefs: ReadonlyArray<Target<'Gateway' | 'ListenerSet'>>
    readonly headers?: {
      readonly earlyRequestHeaders?: { readonly remove?: readonly string[] }
    }
  }
}

export interface IMCPRoute {
  readonly apiVersion: 'aigateway.envoyproxy.io/v1beta1'
  readonly kind: 'MCPRoute'
  readonly metadata: Metadata
  readonly spec: {
    readonly parentRefs: ReadonlyArray<Target<'Gateway'>>
    readonly path?: string
    readonly backendRefs: ReadonlyArray<Backend & { readonly path?: string }>
    readonly securityPolicy?: { readonly extAuth?: ExtAuth }
  }
}
