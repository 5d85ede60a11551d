/** Aligned columns under headings. */
export function table (headings: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const all = [headings, ...rows.map((row) => row.map(printable))]
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd() + '\n').join('')
}

// A name may hold control characters, which a terminal would obey.
function printable (cell: string): string {
  return cell.replace(/[\p{Cc}\p{Cf}]/gu, '?')
}
