/** The parts of a list: separated by commas or line breaks, empty ones dropped. */
export function partsOf (text: string | undefined): string[] {
  return (text ?? '').split(/[,\r\n]/).map((part) => part.trim()).filter((part) => part !== '')
}
