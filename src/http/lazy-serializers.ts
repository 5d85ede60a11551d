import SerializerSelector from '@fastify/fast-json-stringify-compiler'

type SerializerFactory = ReturnType<typeof SerializerSelector.SerializerSelector>

/**
 * Fastify's own serializers, each made when it is first used: to make those of all routes is an eighth of the time that a start takes, and most processes
 * never use most of them.
 */
export function lazySerializers (): SerializerFactory {
  const factory = SerializerSelector.SerializerSelector()
  return (externalSchemas, options) => {
    const compile = factory(externalSchemas, options)
    return (route) => {
      let serialize: ReturnType<typeof compile> | undefined
      return (value) => (serialize ??= compile(route))(value)
    }
  }
}
