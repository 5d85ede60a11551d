import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import { KeysError } from '../core/errors.ts'
import { isRepeated } from './repeated-header.ts'

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const parameter = new RegExp(`[ \\t]*;[ \\t]*(?:(${token})=(${token}|"(?:[^"\\\\]|\\\\.)*"))?`, 'y')
const mediaType = new RegExp(`${token}/${token}`, 'y')

/** The refusal for the Content-Type and Content-Encoding of a body, which says to send `wanted`; `undefined`: the body can be read. */
export function formRefusal ({ raw }: FastifyRequest, wanted = 'application/json; charset=utf-8'): KeysError | undefined {
  const { headers, rawHeaders } = raw
  if (isRepeated('content-type', rawHeaders)) return unsupported('There is more than one Content-Type header. Send one.')
  if (headers['content-encoding'] !== undefined) return unsupported('Send the body uncompressed, without Content-Encoding.')
  return namesUtf8(headers['content-type'] ?? '') ? undefined : unsupported(`Send the body in UTF-8, with a Content-Type such as ${wanted}.`)
}

/** Decodes a body. Invalid UTF-8 is refused: decoding would replace bytes, and the result would differ from what the client sent. */
export function textOf (body: Buffer): string {
  if (!isUtf8(body)) throw new KeysError('invalid_request', { detail: 'The body is not valid UTF-8.', faults: [{ pointer: '', detail: 'Must be UTF-8.' }] })
  const text = body.toString('utf8')
  return text.startsWith('\uFEFF') ? text.slice(1) : text
}

/** Whether a content type is well-formed (RFC 9110, section 8.3.1) and names no charset but UTF-8. */
function namesUtf8 (type: string): boolean {
  if (type === 'application/json') return true
  mediaType.lastIndex = 0
  if (!mediaType.test(type)) return false
  let at = mediaType.lastIndex
  while (at < type.trimEnd().length) {
    parameter.lastIndex = at
    const found = parameter.exec(type)
    if (found === null) return false
    const [, name = '', value = ''] = found
    if (name.toLowerCase() === 'charset' && !/^"?utf-8"?$/i.test(value)) return false
    at = parameter.lastIndex
  }
  return true
}

function unsupported (detail: string): KeysError {
  return new KeysError('unsupported_media_type', { detail })
}
