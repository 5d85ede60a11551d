import { Type } from 'typebox'
import { errorCodes } from '../core/errors.ts'

/** RFC 9457. `code` is what programs test. */
export const problemSchema = Type.Object({
  type: Type.String({ description: 'Names the problem; the same for every occurrence.' }),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String({ description: 'What went wrong and what to do, for people.' }),
  code: Type.Enum([...errorCodes], { description: 'Stable: programs test this.' }),
  errors: Type.Optional(Type.Array(Type.Object({
    pointer: Type.String({ description: 'JSON pointer (RFC 6901) into what was sent.' }),
    detail: Type.String()
  }))),
  key_id: Type.Optional(Type.String({ description: 'With `already_created`: the key that exists.' })),
  request_id: Type.Optional(Type.String({ description: 'With `internal`: what to look for in the logs.' }))
}, { $id: 'Problem', title: 'Problem' })
