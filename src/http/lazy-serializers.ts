import { createRequire } from 'node:module'
import type Serializers from '@fastify/fast-json-stringify-compiler'

type SerializerFactory = ReturnType<typeof Serializers.SerializerSelector>

const require = createRequire(import.meta.url)

/**
 * Fastify's own serializers. Each is made when it is first used, and their package, which loads Ajv, when the first of them is: together a quarter of
 * the time that a start takes. Most processes never use most of them.
 */
export function lazySerializers (): SerializerFactory {
  let factory: SerializerFactory | undefined
  return (externalSchemas, options) => {
    let compile: ReturnType<SerializerFactory> | undefined
    return (route) => {
      let serialize: ReturnType<ReturnType<SerializerFactory>> | undefined
      return (value) => (serialize ??= compilerOf()(route))(value)
    }

    function compilerOf (): ReturnType<SerializerFactory> {
      factory ??= (require('@fastify/fast-json-stringify-compiler') as typeof Serializers).SerializerSelector()
      compile ??= factory(externalSchemas, options)
      return compile
    }
  }
}
