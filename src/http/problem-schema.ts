import { Type } from 'typebox'
import { errorCodes } from '../core/errors.ts'
import { reasons } from '../core/verdict.ts'

/** RFC 9457. `code` is what programs test. */
export const problemSchema = Type.Object({
  type: Type.String({ description: 'Name of the problem; the same for every occurrence.' }),
  title: Type.String({ description: 'The kind of problem, for people.' }),
  status: Type.Integer({ description: 'The HTTP status.' }),
  detail: Type.String({ description: 'What went wrong and what to do, for people.' }),
  code: Type.Enum([...new Set([...errorCodes, ...reasons])], { description: 'Stable: test this in programs. If a key was refused, it is the reason that `/v1/verify` gives.' }),
  errors: Type.Optional(Type.Array(Type.Object({
    pointer: Type.String({ description: 'JSON pointer (RFC 6901) into the request.' }),
    detail: Type.String({ description: 'What this part of the request must be, for people.' })
  }), { description: 'The invalid parts of the request.' })),
  key_id: Type.Optional(Type.String({ description: 'With `already_created` and `already_rotated`: the key that exists.' })),
  request_id: Type.Optional(Type.String({ description: 'With `internal`: the id of the request in the logs.' }))
}, { $id: 'Problem', title: 'Problem' })
