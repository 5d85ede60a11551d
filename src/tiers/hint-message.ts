import { createHmac, timingSafeEqual } from 'node:crypto'
import { digestToBytes, type Digest } from '../core/key-record.ts'
import type { ChangeTarget } from '../core/lookup.ts'
import type { Hint } from '../core/window/hint-bus.ts'

interface Wire {
  seq: number
  action: 'revoke' | 'change'
  timeline: string | null
  digest?: string
  workspace_id?: string
}

const macLength = 43

/** A hint as it travels: an HMAC-SHA-256 in base64url, and the JSON that it is over. */
export function sealHint ({ change: { seq, action, target }, timeline }: Hint, secret: Uint8Array): string {
  const wire: Wire = {
    seq,
    action,
    timeline: timeline ?? null,
    ...(target.kind === 'key' ? { digest: digestToBytes(target.digest).toString('base64url') } : {}),
    ...(target.kind === 'workspace' ? { workspace_id: target.workspaceId } : {})
  }
  const text = JSON.stringify(wire)
  return macOf(text, secret) + text
}

/** The hint in a message, or `undefined` if nobody who knows the secret wrote it: others may publish on any channel. */
export function openHint (message: string, secret: Uint8Array): Hint | undefined {
  const mac = Buffer.from(message.slice(0, macLength))
  const text = message.slice(macLength)
  const right = Buffer.from(macOf(text, secret))
  if (mac.length !== right.length || !timingSafeEqual(mac, right)) return undefined
  const wire = JSON.parse(text) as Wire
  return {
    change: { seq: wire.seq, action: wire.action, target: targetOf(wire) },
    timeline: wire.timeline ?? undefined
  }
}

// The purpose is part of what is signed: no row that Redis holds can be passed off as a hint.
function macOf (text: string, secret: Uint8Array): string {
  return createHmac('sha256', secret).update('navis-keys hint\n').update(text).digest('base64url')
}

function targetOf ({ digest, workspace_id: workspaceId }: Wire): ChangeTarget {
  if (digest !== undefined) return { kind: 'key', digest: Buffer.from(digest, 'base64url').toString('latin1') as Digest }
  return workspaceId === undefined ? { kind: 'everything' } : { kind: 'workspace', workspaceId }
}
