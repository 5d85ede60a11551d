type Fields = Readonly<Record<string, unknown>>

// Of the size that a request line may have, some is left for what stands before the query.
const lengthMax = 6000

/**
 * Where a form is shown again that has something wrong in it: as an address, to which Back leads without a question of the browser, whether scripts
 * run or not. `undefined`: what was sent does not belong into an address.
 */
export function formAgainAt (path: string, fields: Fields, { names, holdsSecret }: { readonly names: readonly string[], holdsSecret (text: string): boolean }): string | undefined {
  const given = names.flatMap((name): Array<[string, string]> => typeof fields[name] === 'string' ? [[name, fields[name]]] : [])
  const query = new URLSearchParams([...given, ['again', 'yes']]).toString()
  return query.length > lengthMax || given.some(([, value]) => holdsSecret(value)) ? undefined : `${path}?${query}`
}

/** Whether a form is to be shown again as it stands in the address. */
export function isAgain (query: Fields): boolean {
  return query['again'] === 'yes'
}
