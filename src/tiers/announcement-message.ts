import { createHmac, timingSafeEqual } from 'node:crypto'
import { digestToBytes, type Digest } from '../core/key-record.ts'
import type { ChangeTarget } from '../core/lookup.ts'
import type { Acknowledgement } from '../core/window/announcements.ts'
import type { Announcement } from '../core/window/step.ts'

/** Longer messages are dropped unread: an attacker who can publish could keep every replica busy with HMACs (R11). */
export const messageBytesMax = 1024

/** A message of one kind as it travels: an HMAC-SHA-256 in base64url over the kind and the JSON, then the JSON. */
type Kind = 'announcement' | 'acknowledgement' | 'call'

const macLength = 43
const callText = '{"call":true}'

interface Wire {
  label: string
  seq: number
  action: 'revoke' | 'change'
  digests?: string[]
  workspace_id?: string
  from: string
  nonce?: string
  renew: Announcement['renew']
}

/** The announcement, or a bare call for a renewal where it is too long, or of no lineage: the log tells the rest. */
export function sealAnnouncement ({ change: { seq, action, target }, label, from, nonce, renew }: Announcement, key: Uint8Array): string {
  if (label === undefined) return sealCall(key)
  const wire: Wire = {
    label,
    seq,
    action,
    ...(target.kind === 'key' ? { digests: target.digests.map((digest) => digestToBytes(digest).toString('base64url')) } : {}),
    ...(target.kind === 'workspace' ? { workspace_id: target.workspaceId } : {}),
    from,
    ...(nonce === undefined ? {} : { nonce }),
    renew
  }
  const message = seal('announcement', JSON.stringify(wire), key)
  return Buffer.byteLength(message) > messageBytesMax ? sealCall(key) : message
}

export function sealCall (key: Uint8Array): string {
  return seal('call', callText, key)
}

export function sealAcknowledgement (acknowledgement: Acknowledgement, key: Uint8Array): string {
  return seal('acknowledgement', JSON.stringify(acknowledgement), key)
}

/** What a message on the channel of changes says; `undefined`: it was not written with this key. */
export function openMessage (message: string, key: Uint8Array): Announcement | 'call' | undefined {
  // One HMAC a message, not one for each kind that it could be.
  if (message.length === macLength + callText.length && message.endsWith(callText)) return open('call', message, key) === undefined ? undefined : 'call'
  const text = open('announcement', message, key)
  if (text === undefined) return undefined
  const wire = parse(text) as Partial<Wire> | undefined
  // Behind the HMAC there is only what we wrote; another version's may look different, and is worth a renewal.
  if (wire === undefined || typeof wire.seq !== 'number' || typeof wire.label !== 'string' || typeof wire.from !== 'string') return 'call'
  const { label, seq, action, from, nonce, renew = 'none' } = wire
  return { change: { seq, action: action === 'revoke' ? 'revoke' : 'change', target: targetOf(wire) }, label, from, nonce, renew }
}

/** The acknowledgement in a message on our own channel, or `undefined`. */
export function openAcknowledgement (message: string, key: Uint8Array): Acknowledgement | undefined {
  const text = open('acknowledgement', message, key)
  const acknowledgement = text === undefined ? undefined : parse(text) as Partial<Acknowledgement> | undefined
  if (acknowledgement === undefined) return undefined
  const { from, label, seq, nonce } = acknowledgement
  if (typeof from !== 'string' || typeof label !== 'string' || typeof seq !== 'number' || typeof nonce !== 'string') return undefined
  return { from, label, seq, nonce }
}

function seal (kind: Kind, text: string, key: Uint8Array): string {
  return macOf(kind, text, key) + text
}

function open (kind: Kind, message: string, key: Uint8Array): string | undefined {
  const mac = Buffer.from(message.slice(0, macLength))
  const text = message.slice(macLength)
  const right = Buffer.from(macOf(kind, text, key))
  return mac.length === right.length && timingSafeEqual(mac, right) ? text : undefined
}

// The purpose is part of what is signed: nothing that Redis holds or carries can be passed off as something else.
function macOf (kind: Kind, text: string, key: Uint8Array): string {
  return createHmac('sha256', key).update(`navis-keys ${kind}\n`).update(text).digest('base64url')
}

function targetOf ({ digests, workspace_id: workspaceId }: Partial<Wire>): ChangeTarget {
  if (digests !== undefined) return { kind: 'key', digests: digests.map((digest) => Buffer.from(digest, 'base64url').toString('latin1') as Digest) }
  return workspaceId === undefined ? { kind: 'everything' } : { kind: 'workspace', workspaceId }
}

function parse (text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
