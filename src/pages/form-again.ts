type Fields = Readonly<Record<string, unknown>>

// Leaves room for the path in a request line of limited size.
const lengthMax = 6000

/**
 * The URL that shows an invalid form again, with its values. A redirect to it (instead of a direct answer) keeps Back from asking whether to send the form
 * again, with and without scripts. `undefined`: the values are too long or secret for a URL.
 */
export function formAgainAt (path: string, fields: Fields, { names, holdsSecret }: { readonly names: readonly string[], holdsSecret (text: string): boolean }): string | undefined {
  const given = names.flatMap((name): Array<[string, string]> => typeof fields[name] === 'string' ? [[name, fields[name]]] : [])
  const query = new URLSearchParams([...given, ['again', 'yes']]).toString()
  return query.length > lengthMax || given.some(([, value]) => holdsSecret(value)) ? undefined : `${path}?${query}`
}

/** Whether the URL contains the values of a form to show again. */
export function isAgain (query: Fields): boolean {
  return query['again'] === 'yes'
}
