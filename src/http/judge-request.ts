import type { IncomingMessage } from 'node:http'
import type { Scope } from '../core/scopes.ts'
import type { Verdict } from '../core/verdict.ts'
import type { Verifier } from '../core/verifier.ts'
import type { PresentedToken } from './bearer.ts'
import { connectionMemo } from './connection-memo.ts'
import { failureFor, type Refusal } from './refusals.ts'

interface Judgement {
  readonly presented: PresentedToken
  readonly verifier: Pick<Verifier, 'verify'>
  readonly request: { readonly raw: IncomingMessage, readonly ip: string }
  readonly scope: Scope | undefined
  readonly onVerdict: (verdict: Verdict) => void
  readonly onRefusal: (refusal: Refusal) => void
}

/** Judges the token that a request presents. No promise for a hit: this is all that it costs. */
export function judgeRequest ({ presented, verifier, request, scope, onVerdict, onRefusal }: Judgement): void {
  const token = presented(request.raw)
  if (typeof token !== 'string') return onRefusal(token)
  const verdict = verifier.verify(token, { scope, client: request, from: request, memo: connectionMemo(request.raw) })
  if (!(verdict instanceof Promise)) return onVerdict(verdict)
  verdict.then(onVerdict, (error: unknown) => { onRefusal(failureFor(error)) })
}
