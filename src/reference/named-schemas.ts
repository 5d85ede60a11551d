import type { Description, Schema } from './description.ts'

/**
 * The same description with named schemas under `components` for bodies, answers and their common parts. Generated clients use these names for their types; names
 * that a generator invents would change with every new operation.
 */
export function withNames (description: Description): Description {
  const schemas: Record<string, Schema> = { ...description.components?.schemas }
  const known = new Map(Object.entries(schemas).map(([name, schema]) => [shapeOf(schema), name]))

  const named = (name: string, schema: Schema): Schema => {
    const shape = shapeOf(schema)
    const taken = known.get(shape)
    if (taken === undefined && name in schemas) throw new Error(`Two schemas are called ${name}.`)
    if (taken === undefined) {
      known.set(shape, name)
      schemas[name] = { title: name, ...schema }
    }
    return { $ref: `#/components/schemas/${taken ?? name}` }
  }

  const paths = Object.fromEntries(Object.entries(description.paths ?? {}).map(([path, item]) => [path, Object.fromEntries(Object.entries(item).map(([method, operation]) => {
    const { operationId = '', requestBody, responses = {} } = operation
    for (const media of Object.values(requestBody?.content ?? {})) {
      if (media.schema !== undefined && media.schema.$ref === undefined) media.schema = named(`${operationId.charAt(0).toUpperCase()}${operationId.slice(1)}Body`, withNamedParts(media.schema))
    }
    for (const { content = {} } of Object.values(responses)) {
      for (const media of Object.values(content)) {
        const title = media.schema?.['title']
        if (media.schema !== undefined && media.schema.$ref === undefined && typeof title === 'string') media.schema = named(title, withNamedParts(media.schema))
      }
    }
    return [method, operation]
  }))]))
  for (const [name, schema] of Object.entries(schemas)) schemas[name] = withNamedParts(schema, false)
  return { ...description, paths, components: { ...description.components, schemas } }

  /** Names the parts that have a title, and the parts that are equal to a named schema. */
  function withNamedParts (schema: Schema, isPart = false): Schema {
    const inner: Schema = Object.fromEntries(Object.entries(schema).map(([keyword, value]) => {
      if (keyword === 'properties') return [keyword, Object.fromEntries(Object.entries(value as Record<string, Schema>).map(([name, member]) => [name, withNamedParts(member, true)]))]
      if (keyword === 'items') return [keyword, withNamedParts(value as Schema, true)]
      if (keyword === 'anyOf') return [keyword, (value as Schema[]).map((one) => withNamedParts(one, true))]
      return [keyword, value]
    }))
    const title = inner['title']
    const isNamed = isPart && inner.$ref === undefined && inner.properties !== undefined && (typeof title === 'string' || known.has(shapeOf(inner)))
    if (!isNamed) return inner
    const { $ref } = named(typeof title === 'string' ? title : known.get(shapeOf(inner))!, inner)
    return typeof inner['description'] === 'string' && typeof title !== 'string' ? { $ref: $ref!, description: inner['description'] } : { $ref: $ref! }
  }
}

/** The schema without its texts, for comparison. */
function shapeOf (schema: Schema): string {
  const { title, description, ...rest } = schema
  return JSON.stringify(rest)
}
